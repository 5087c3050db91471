"""Rankers of every form that a bundle may bring, behind one method.

Serving answers with them, training tries them before they may: both read a ranker's file
here, so a score is the same number in a trial and in an answer. One thread each.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from nearline.contracts.bundle import RankerFormat, RankerSpec
from nearline.transforms.ranking import RANKER_FEATURES

_VALUES = (
    b'{"type":0,"training":false,"iteration_begin":0,"iteration_end":0,"missing":NaN,'
    b'"strict_shape":false,"cache_id":0}'
)

# Axes: C candidates, F features.
FloatCF = npt.NDArray[np.float32]
FloatC = npt.NDArray[np.float32]


class Ranker(Protocol):
    """Scores rows of `RANKER_FEATURES`, all columns; picks for itself what it needs.

    One score per row, higher is better; NaN in a row reads as missing.
    """

    def scores(self, rows_CF: FloatCF) -> FloatC: ...

    def contributions(self, rows_CF: FloatCF) -> FloatCF | None:
        """What each of `RANKER_FEATURES` adds to a row's score; None where that is not known.

        TreeSHAP (Lundberg et al. 2018): with a base that is the same for every row, a row's
        contributions add up to its score. Features that the ranker does not use add 0.
        """


@dataclass(frozen=True, slots=True)
class XgboostTrees:
    """XGBoost, without building a DMatrix."""

    booster: Any  # xgboost.Booster
    columns: list[int]

    def scores(self, rows_CF: FloatCF) -> FloatC:
        return scores_of(self.booster, rows_CF[:, self.columns])

    def contributions(self, rows_CF: FloatCF) -> FloatCF:
        import xgboost

        matrix = xgboost.DMatrix(rows_CF[:, self.columns], nthread=1)
        pulls = self.booster.predict(matrix, pred_contribs=True, validate_features=False)
        return _spread(pulls[:, :-1], self.columns)


@dataclass(frozen=True, slots=True)
class LightgbmTrees:
    """LightGBM, from its text."""

    booster: Any  # lightgbm.Booster
    columns: list[int]

    def scores(self, rows_CF: FloatCF) -> FloatC:
        rows = np.ascontiguousarray(rows_CF[:, self.columns])
        return np.asarray(self.booster.predict(rows, num_threads=1), np.float32)

    def contributions(self, rows_CF: FloatCF) -> FloatCF:
        rows = np.ascontiguousarray(rows_CF[:, self.columns])
        pulls = np.asarray(self.booster.predict(rows, pred_contrib=True, num_threads=1))
        return _spread(pulls[:, :-1], self.columns)


@dataclass(frozen=True, slots=True)
class OnnxLayers:
    """Any graph with one input of rows and a first output of scores."""

    session: Any  # onnxruntime.InferenceSession
    columns: list[int]

    def scores(self, rows_CF: FloatCF) -> FloatC:
        name = self.session.get_inputs()[0].name
        rows = np.ascontiguousarray(rows_CF[:, self.columns], np.float32)
        first = self.session.run([self.session.get_outputs()[0].name], {name: rows})[0]
        return np.asarray(first, np.float32).reshape(-1)

    def contributions(self, rows_CF: FloatCF) -> None:
        """Unknown: a graph of layers does not tell."""


def _spread(pulls: npt.NDArray[Any], columns: Sequence[int]) -> FloatCF:
    """Contributions of a ranker's own inputs, each under its place in `RANKER_FEATURES`."""
    spread = np.zeros((len(pulls), len(RANKER_FEATURES)), np.float32)
    spread[:, list(columns)] = pulls
    return spread


def read(folder: Path, spec: RankerSpec) -> Ranker:
    """The ranker that a bundle's folder holds; raises whatever a broken file makes it raise."""
    path, columns = folder / spec.file, columns_of(spec.features)
    match spec.format:
        case RankerFormat.XGBOOST:
            return XgboostTrees(booster(path), columns)
        case RankerFormat.LIGHTGBM:
            import lightgbm

            return LightgbmTrees(lightgbm.Booster(model_file=str(path)), columns)
        case RankerFormat.ONNX:
            return OnnxLayers(onnx_session(path), columns)


def columns_of(features: Sequence[str]) -> list[int]:
    """Where a ranker's inputs stand among `RANKER_FEATURES`."""
    return [RANKER_FEATURES.index(name) for name in features]


def booster(path: Path) -> Any:
    import xgboost

    booster = xgboost.Booster(model_file=str(path))
    booster.set_param({"nthread": 1})
    return booster


def scores_of(booster: Any, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What an XGBoost booster says of each row; NaN reads as missing.

    The same call of XGBoost's C interface as in `Booster.inplace_predict`, and the same numbers,
    without the looks at what the rows might be instead of float32 rows: for a list of 141 those
    took 0.2 of 0.6 ms (measured).
    """
    import xgboost.core

    library = xgboost.core._LIB
    rows = np.ascontiguousarray(rows, np.float32)
    interface = {
        "data": (rows.ctypes.data, True),
        "shape": rows.shape,
        "typestr": "<f4",
        "version": 3,
    }
    shape, axes = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
    found = ctypes.POINTER(ctypes.c_float)()
    failed = library.XGBoosterPredictFromDense(
        booster.handle,
        msgspec.json.encode(interface),
        _VALUES,
        ctypes.c_void_p(),
        ctypes.byref(shape),
        ctypes.byref(axes),
        ctypes.byref(found),
    )
    if failed:
        raise xgboost.core.XGBoostError(library.XGBGetLastError().decode())
    sizes = shape[: axes.value]
    # A copy: it is the library's own memory, which its next answer overwrites.
    told = ctypes.string_at(found, math.prod(sizes) * ctypes.sizeof(ctypes.c_float))
    return np.frombuffer(told, np.float32).reshape(sizes)


def onnx_session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )
