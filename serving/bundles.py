"""Bundles in memory: loaded aside, checked, tried with one query, then swapped by reference."""

from __future__ import annotations

import gc
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nearline.contracts import bundle as contract
from nearline.contracts.bundle import BundleRefused, Manifest, Task
from nearline.transforms import customer
from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import CUSTOMER_FEATURES
from nearline.transforms.item import ITEM_FEATURES
from nearline.transforms.ranking import RANKER_FEATURES
from serving import finder, rankers
from serving.finder import Finder
from serving.rankers import Ranker, booster, scores_of


@dataclass(frozen=True, slots=True)
class ChurnModel:
    """One horizon: log-odds trees and the curve that makes their output a probability."""

    name: str
    horizon_days: int
    booster: Any  # xgboost.Booster
    calibration_x: tuple[float, ...]  # raw probability, rising
    calibration_y: tuple[float, ...]  # share that really left
    active_days: int = 0  # It speaks only of customers seen within this time; 0: of everybody.

    def speaks_of(self, unseen_us: int) -> bool:
        """Whether a customer last seen so long ago is one of those it was calibrated on."""
        return not self.active_days or unseen_us < self.active_days * DAY_US

    def calibrated(self, raw: float) -> float:
        """The calibrated probability in [0, 1]; linear between the curve's points."""
        return float(np.clip(np.interp(raw, self.calibration_x, self.calibration_y), 0.0, 1.0))


class Part(StrEnum):
    """What a stage needs of a bundle; each loads, and imports, only its own."""

    FINDER = "finder"
    RANKER = "ranker"
    CHURN = "churn"


@dataclass(frozen=True, slots=True)
class Bundle:
    """One verified version, ready to answer; never changed after loading.

    A part is None (or empty) where it was not asked for, or where the bundle brings none.
    """

    version: str
    manifest: Manifest
    finder: Finder | None = None
    ranker: Ranker | None = None
    churn: tuple[ChurnModel, ...] = ()  # shortest horizon first


def load(folder: Path, version: str, parts: Collection[Part] = tuple(Part)) -> Bundle:
    """Verify a bundle whole, load and try some of it; raises BundleRefused with the reason.

    Everything runs on one thread: replicas scale by number, not by threads.
    """
    manifest = contract.verify(folder, version)
    _check_features(manifest, version)
    try:
        bundle = _read(folder, version, manifest, parts)
        _smoke(bundle)
    except BundleRefused:
        raise
    except Exception as error:  # whatever a broken model file raises
        raise BundleRefused(version, f"it cannot be used ({type(error).__name__})") from error
    return bundle


class Shelf:
    """The bundles in memory: champion and challenger, and at most one more.

    `prepare` loads aside and may run in a thread; `activate` and `challenge` swap one
    reference. A request reads `answering` once and keeps it to its end.
    """

    def __init__(self, parts: Collection[Part] = tuple(Part)) -> None:
        self._parts = parts
        self._held: dict[str, Bundle] = {}
        self._current: str | None = None
        self._challenger: str | None = None

    @property
    def current(self) -> Bundle | None:
        """The champion's bundle."""
        return self._held.get(self._current) if self._current else None

    @property
    def challenger(self) -> Bundle | None:
        return self._held.get(self._challenger) if self._challenger else None

    def answering(self, challenger: bool) -> Bundle | None:
        """The bundle of a new request; the champion's where no challenger is loaded."""
        return (self.challenger if challenger else None) or self.current

    @property
    def versions(self) -> tuple[str, ...]:
        """Resident versions, oldest first."""
        return tuple(self._held)

    def get(self, version: str) -> Bundle | None:
        return self._held.get(version)

    def prepare(self, version: str, folder: Path) -> None:
        """Make a version resident; raises BundleRefused and leaves everything as it was."""
        if version in self._held:
            return
        bundle = load(folder, version, self._parts)
        wanted = {self._current or next(reversed(self._held), None), self._challenger}
        kept = {held: one for held, one in self._held.items() if held in wanted}
        self._held = {**kept, version: bundle}
        gc.collect()
        gc.freeze()  # Models live long: keep them out of every later collection.

    def activate(self, version: str) -> None:
        """Let a resident version answer from the next request on."""
        if version not in self._held:
            raise KeyError(f"bundle {version} is not resident: prepare it first")
        self._current = version

    def challenge(self, version: str) -> None:
        """Let a resident version answer beside the champion, in place of any before; "": none.

        What answered before stays for the requests under way, until another is prepared.
        """
        if version and version not in self._held:
            raise KeyError(f"bundle {version} is not resident: prepare it first")
        self._challenger = version or None


def _check_features(manifest: Manifest, version: str) -> None:
    for what, wanted, known in (
        ("customer", manifest.customer_features, CUSTOMER_FEATURES),
        ("item", manifest.item_features, ITEM_FEATURES),
        ("ranker", manifest.ranker_features, RANKER_FEATURES),
    ):
        if tuple(wanted) != known:
            odd = sorted(set(wanted) ^ set(known)) or ["their order"]
            raise BundleRefused(version, f"its {what} features differ from this code's: {odd[:5]}")


def _read(folder: Path, version: str, manifest: Manifest, parts: Collection[Part]) -> Bundle:
    return Bundle(
        version=version,
        manifest=manifest,
        finder=finder.read(folder, version, manifest) if Part.FINDER in parts else None,
        ranker=rankers.read(folder, version, manifest) if Part.RANKER in parts else None,
        churn=_churn_models(folder, manifest) if Part.CHURN in parts else (),
    )


def _churn_models(folder: Path, manifest: Manifest) -> tuple[ChurnModel, ...]:
    specs = [spec for spec in manifest.scores if spec.task is Task.CHURN]
    if not specs:
        return ()
    curves = msgspec.json.decode(
        (folder / contract.CALIBRATION).read_bytes(), type=dict[str, dict[str, list[float]]]
    )
    models = [
        ChurnModel(
            name=spec.name,
            horizon_days=spec.horizon_days,
            booster=booster(folder / spec.file),
            calibration_x=tuple(curves[spec.name]["x"]),
            calibration_y=tuple(curves[spec.name]["y"]),
            active_days=spec.active_days,
        )
        for spec in specs
    ]
    return tuple(sorted(models, key=lambda model: model.horizon_days))


def _smoke(bundle: Bundle) -> None:
    """One whole answer through every model: what cannot do this must not serve."""
    if bundle.finder is not None:
        finder.smoke(bundle.version, bundle.finder)
    if bundle.ranker is not None:
        rankers.smoke(bundle.version, bundle.ranker)
    features = features_row(customer.finish(customer.EMPTY, 0))
    for model in bundle.churn:
        if not math.isfinite(model.calibrated(float(scores_of(model.booster, features)[0]))):
            raise BundleRefused(bundle.version, f"{model.name} scores are not finite")


def features_row(
    values: Mapping[str, float], names: Sequence[str] = CUSTOMER_FEATURES
) -> npt.NDArray[np.float32]:
    """One (1, F) row in the order of `names`."""
    return np.asarray([[values[name] for name in names]], dtype=np.float32)
