"""Bundles in memory: loaded aside, checked, tried with one query, then swapped by reference."""

from __future__ import annotations

import gc
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nearline.contracts import bundle as contract
from nearline.contracts.bundle import BundleRefused, Manifest
from nearline.transforms.customer import CUSTOMER_FEATURES
from nearline.transforms.item import ITEM_FEATURES
from nearline.transforms.ranking import RANKER_FEATURES
from serving import finder, rankers, score_models
from serving.finder import Finder
from serving.rankers import Ranker
from serving.score_models import NO_SCORES, ScoreModels


class Part(StrEnum):
    """What a stage needs of a bundle; each loads, and imports, only its own."""

    FINDER = "finder"
    RANKER = "ranker"
    SCORES = "scores"


@dataclass(frozen=True, slots=True)
class Bundle:
    """One verified version, ready to answer; never changed after loading.

    A part is None (or empty) where it was not asked for, or where the bundle brings none.
    """

    version: str
    manifest: Manifest
    finder: Finder | None = None
    ranker: Ranker | None = None
    scores: ScoreModels = NO_SCORES


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
        scores=score_models.read(folder, version, manifest) if Part.SCORES in parts else NO_SCORES,
    )


def _smoke(bundle: Bundle) -> None:
    """One whole answer through every model: what cannot do this must not serve."""
    if bundle.finder is not None:
        finder.smoke(bundle.version, bundle.finder)
    if bundle.ranker is not None:
        rankers.smoke(bundle.version, bundle.ranker)
    score_models.smoke(bundle.version, bundle.scores)
