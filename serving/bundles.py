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
from nearline.contracts.bundle import BundleRefused, Manifest
from nearline.transforms import customer, item
from nearline.transforms.candidates import Catalogue
from nearline.transforms.customer import CUSTOMER_FEATURES
from nearline.transforms.item import ITEM_FEATURES
from nearline.transforms.ranking import RANKER_FEATURES, Candidate, assemble

# Axes: I items, D dimensions, L places in the history, F features.
FloatID = npt.NDArray[np.float32]
IntL = npt.NDArray[np.int64]
FloatF = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ChurnModel:
    """One horizon: log-odds trees and the curve that makes their output a probability."""

    name: str
    horizon_days: int
    booster: Any  # xgboost.Booster
    calibration_x: tuple[float, ...]  # raw probability, rising
    calibration_y: tuple[float, ...]  # share that really left

    def calibrated(self, raw: float) -> float:
        """The calibrated probability in [0, 1]; linear between the curve's points."""
        return float(np.clip(np.interp(raw, self.calibration_x, self.calibration_y), 0.0, 1.0))


class Part(StrEnum):
    """What a stage needs of a bundle; each loads, and imports, only its own."""

    FINDER = "finder"
    RANKER = "ranker"
    CHURN = "churn"


@dataclass(frozen=True, slots=True)
class Finder:
    """What finds candidates: the encoder, the index and the items that its rows are."""

    encoder: Any  # onnxruntime.InferenceSession
    index: Any  # faiss.Index
    unit_vectors: FloatID  # rows of the index, each of length 1 (or 0)
    catalogue: Catalogue
    prices_cents: tuple[int, ...]
    popular: tuple[int, ...]
    history_length: int

    def query_vector(self, items: IntL, kinds: IntL) -> FloatID:
        """The encoder's (1, D) answer for one history; raises ValueError when not finite."""
        (query,) = self.encoder.run(["query"], {"items": items[None, :], "kinds": kinds[None, :]})
        vector = np.asarray(query, dtype=np.float32)
        if not np.isfinite(vector).all():
            raise ValueError("the encoder's output is not finite")
        return vector


@dataclass(frozen=True, slots=True)
class Bundle:
    """One verified version, ready to answer; never changed after loading.

    A part is None (or empty) where it was not asked for, or where the bundle brings none.
    """

    version: str
    manifest: Manifest
    finder: Finder | None = None
    ranker: Any | None = None  # xgboost.Booster
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
    """The bundles in memory: the one that answers, and at most one more.

    `prepare` loads aside and may run in a thread; `activate` swaps one reference. A request
    reads `current` once and keeps it to its end.
    """

    def __init__(self, parts: Collection[Part] = tuple(Part)) -> None:
        self._parts = parts
        self._held: dict[str, Bundle] = {}
        self._current: str | None = None

    @property
    def current(self) -> Bundle | None:
        return self._held.get(self._current) if self._current else None

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
        wanted = self._current or next(reversed(self._held), None)
        kept = {held: one for held, one in self._held.items() if held == wanted}
        self._held = {**kept, version: bundle}
        gc.collect()
        gc.freeze()  # Models live long: keep them out of every later collection.

    def activate(self, version: str) -> None:
        """Let a resident version answer from the next request on."""
        if version not in self._held:
            raise KeyError(f"bundle {version} is not resident: prepare it first")
        self._current = version


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
    ranker = folder / contract.RANKER
    return Bundle(
        version=version,
        manifest=manifest,
        finder=_finder(folder, version, manifest) if Part.FINDER in parts else None,
        ranker=_booster(ranker) if Part.RANKER in parts and ranker.is_file() else None,
        churn=_churn_models(folder, manifest) if Part.CHURN in parts else (),
    )


def _finder(folder: Path, version: str, manifest: Manifest) -> Finder:
    import faiss

    faiss.omp_set_num_threads(1)
    rows = msgspec.json.decode(
        (folder / contract.ITEMS).read_bytes(), type=list[tuple[str, str, int, int]]
    )
    index = faiss.read_index(str(folder / contract.INDEX))
    if not index.ntotal == len(rows) == manifest.items or not rows:
        raise BundleRefused(
            version,
            f"it has {index.ntotal} vectors, {len(rows)} items and a manifest of {manifest.items}",
        )
    if index.d != manifest.encoder.dimension:
        raise BundleRefused(
            version, f"its index has {index.d} dimensions, its encoder {manifest.encoder.dimension}"
        )
    popular = msgspec.json.decode((folder / contract.POPULAR).read_bytes(), type=list[int])
    if any(not 0 <= row < len(rows) for row in popular):
        raise BundleRefused(version, "its popular items point outside its items")
    vectors = index.reconstruct_n(0, index.ntotal)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Finder(
        encoder=_session(folder / contract.ENCODER),
        index=index,
        unit_vectors=vectors / np.where(norms > 0, norms, 1.0),
        catalogue=Catalogue.of([row[0] for row in rows], [row[1] for row in rows]),
        prices_cents=tuple(row[2] for row in rows),
        popular=tuple(popular),
        history_length=manifest.encoder.history_length,
    )


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )


def _booster(path: Path) -> Any:
    import xgboost

    booster = xgboost.Booster(model_file=str(path))
    booster.set_param({"nthread": 1})
    return booster


def _churn_models(folder: Path, manifest: Manifest) -> tuple[ChurnModel, ...]:
    if not manifest.churn:
        return ()
    curves = msgspec.json.decode(
        (folder / contract.CALIBRATION).read_bytes(), type=dict[str, dict[str, list[float]]]
    )
    models = [
        ChurnModel(
            name=spec.name,
            horizon_days=spec.horizon_days,
            booster=_booster(folder / spec.file),
            calibration_x=tuple(curves[spec.name]["x"]),
            calibration_y=tuple(curves[spec.name]["y"]),
        )
        for spec in manifest.churn
    ]
    return tuple(sorted(models, key=lambda model: model.horizon_days))


def _smoke(bundle: Bundle) -> None:
    """One whole answer through every model: what cannot do this must not serve."""
    if bundle.finder is not None:
        _smoke_finder(bundle.version, bundle.finder)
    if bundle.ranker is not None:
        candidate = Candidate("an item", 0, "", {}, {})
        rows = assemble(customer.EMPTY, [candidate], [item.finish(item.EMPTY, 0)], 0)
        if not math.isfinite(float(scores_of(bundle.ranker, rows)[0])):
            raise BundleRefused(bundle.version, "its ranker's score is not finite")
    features = features_row(customer.finish(customer.EMPTY, 0))
    for model in bundle.churn:
        if not math.isfinite(model.calibrated(float(scores_of(model.booster, features)[0]))):
            raise BundleRefused(bundle.version, f"{model.name} scores are not finite")


def _smoke_finder(version: str, finder: Finder) -> None:
    items, kinds = (
        np.zeros(finder.history_length, np.int64),
        np.zeros(finder.history_length, np.int64),
    )
    items[-1], kinds[-1] = 1, 1
    query = finder.query_vector(items, kinds)
    if query.shape != (1, finder.index.d):
        raise BundleRefused(version, f"its encoder answers {query.shape}")
    _, found = finder.index.search(query, 1)
    if found[0, 0] < 0:
        raise BundleRefused(version, "its index finds nothing")


def scores_of(booster: Any, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One score per row, without building a DMatrix; NaN reads as missing."""
    return np.asarray(booster.inplace_predict(rows, validate_features=False), dtype=np.float32)


def features_row(
    values: Mapping[str, float], names: Sequence[str] = CUSTOMER_FEATURES
) -> npt.NDArray[np.float32]:
    """One (1, F) row in the order of `names`."""
    return np.asarray([[values[name] for name in names]], dtype=np.float32)
