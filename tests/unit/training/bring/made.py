"""A made-up trial and models that learn from it; no history and no registry."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from nearline.transforms.ranking import RANKER_FEATURES
from training.encoder_trial import EncoderTrial
from training.ranker_trial import Exam
from training.ranking_rows import Rows
from training.sequences import Questions
from training.trial import Trial

GOOD = [RANKER_FEATURES.index(name) for name in ("encoder_score", "item_price_cents")]
ROWS = 12  # candidates of each question


def rows(questions: int, seed: int) -> Rows:
    """Gains follow two features; a fifth of all values is missing, ranks of sources are whole."""
    draw = np.random.default_rng(seed)
    count = questions * ROWS
    features = draw.normal(size=(count, len(RANKER_FEATURES))).astype(np.float32)
    signal = features[:, GOOD].sum(axis=1)
    features[draw.random(features.shape) < 0.2] = np.nan
    gains = np.clip(np.floor(signal), 0, 3).astype(np.int64)
    question = np.repeat(np.arange(questions), ROWS)
    gains[::ROWS] = np.maximum(gains[::ROWS], 1)  # Every question has something to find.
    return Rows(features, gains, question)


def trial(questions: int = 60) -> Trial:
    test = rows(questions, 3)
    best = np.sort(test.gains_R.reshape(questions, ROWS), axis=1)[:, ::-1]
    ideal = np.zeros((questions, 10))
    ideal[:, : min(10, ROWS)] = best[:, :10]
    half = np.arange(questions) < questions // 2
    exam = Exam(test, ideal, {"new": half, "returning": ~half})
    return Trial(rows(120, 1), rows(40, 2), exam)


def encoder_trial(items: int, length: int, questions: int = 50) -> EncoderTrial:
    """Whoever met an item meets the next one; the run's own encoder has placed all at 20."""
    draw = np.random.default_rng(4)
    met = draw.integers(0, items - 1, questions)
    rows_QL = np.zeros((questions, length), np.int64)
    rows_QL[:, -1] = met + 1
    kinds_QL = (rows_QL > 0).astype(np.int64)
    asked = Questions(
        rows_QL,
        kinds_QL,
        met + 1,
        np.arange(questions),
        tuple(np.array([one]) for one in met.tolist()),
    )
    return EncoderTrial(asked, np.ones(items, bool), np.full(questions, 20), 1_000)


def lightgbm_of(features: list[str], learnt_from: Rows) -> Any:
    columns = [RANKER_FEATURES.index(name) for name in features]
    parameters = {"objective": "regression", "num_threads": 1, "verbose": -1}
    data = lightgbm.Dataset(learnt_from.features_RF[:, columns], learnt_from.gains_R)
    return lightgbm.train(parameters, data, 20)


def onnx_encoder(items: int, length: int, shift: int = 1) -> tuple[Any, npt.NDArray[np.float32]]:
    """An encoder that asks for the item `shift` rows after the newest, and its item vectors."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    vectors = np.eye(items, dtype=np.float32)
    table = np.vstack([np.zeros((1, items), np.float32), np.roll(vectors, -shift, axis=0)])
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["items", "last"], ["newest"], axis=1),  # (batch,)
            helper.make_node("Gather", ["table", "newest"], ["found"]),
            helper.make_node("Gather", ["kinds", "last"], ["kind"], axis=1),
            helper.make_node("Cast", ["kind"], ["weight"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["weight", "axis"], ["wide"]),
            helper.make_node("Mul", ["found", "wide"], ["query"]),
        ],
        "next",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", length])
            for name in ("items", "kinds")
        ],
        [helper.make_tensor_value_info("query", TensorProto.FLOAT, ["batch", items])],
        [
            numpy_helper.from_array(np.array(length - 1, np.int64), "last"),
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model, vectors
