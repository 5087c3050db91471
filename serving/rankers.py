"""Rankers of every form that a bundle may bring, behind one method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nearline.contracts.bundle import BundleRefused, Manifest, RankerFormat, RankerSpec
from nearline.transforms import customer, item
from nearline.transforms.ranking import RANKER_FEATURES, Candidate, assemble

# Axes: C candidates, F features.
FloatCF = npt.NDArray[np.float32]
FloatC = npt.NDArray[np.float32]


class Ranker(Protocol):
    """Scores rows of `RANKER_FEATURES`, all columns; picks for itself what it needs."""

    def scores(self, rows_CF: FloatCF) -> FloatC: ...


@dataclass(frozen=True, slots=True)
class Trees:
    """XGBoost, on one thread and without building a DMatrix; NaN reads as missing."""

    booster: Any
    columns: list[int]

    def scores(self, rows_CF: FloatCF) -> FloatC:
        return scores_of(self.booster, rows_CF[:, self.columns])


def read(folder: Path, version: str, manifest: Manifest) -> Ranker | None:
    """The bundle's ranker, None where it brings none."""
    spec = manifest.ranker
    if spec is None:
        return None
    if spec.format is RankerFormat.XGBOOST:
        return Trees(booster(folder / spec.file), columns_of(spec))
    raise BundleRefused(version, f"its ranker is {spec.format.value}, which is not read yet")


def columns_of(spec: RankerSpec) -> list[int]:
    """Where a ranker's inputs stand among `RANKER_FEATURES`."""
    return [RANKER_FEATURES.index(name) for name in spec.features]


def smoke(version: str, ranker: Ranker) -> None:
    """Score one candidate of a stranger; what cannot do this must not serve."""
    candidate = Candidate("an item", 0, "", {}, {})
    rows = assemble(customer.EMPTY, [candidate], [item.finish(item.EMPTY, 0)], 0)
    if not math.isfinite(float(ranker.scores(rows)[0])):
        raise BundleRefused(version, "its ranker's score is not finite")


def booster(path: Path) -> Any:
    import xgboost

    booster = xgboost.Booster(model_file=str(path))
    booster.set_param({"nthread": 1})
    return booster


def scores_of(booster: Any, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One score per row, without building a DMatrix; NaN reads as missing."""
    return np.asarray(booster.inplace_predict(rows, validate_features=False), dtype=np.float32)
