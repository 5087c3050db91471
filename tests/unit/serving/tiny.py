"""A bundle small enough to make in a test: 60 items, 6 categories, real models of real kinds."""

from __future__ import annotations

import json
from pathlib import Path

import faiss
import numpy as np
import onnx
import xgboost
from onnx import TensorProto, helper, numpy_helper

from nearline.contracts import bundle as contract
from nearline.contracts.event import Event, Line
from nearline.transforms.covisits import PAIRS
from nearline.transforms.customer import CUSTOMER_FEATURES
from nearline.transforms.item import ITEM_FEATURES
from nearline.transforms.lifetime import BgNbd, GammaGamma, LifetimeModel
from nearline.transforms.ranking import RANKER_FEATURES
from nearline.transforms.score_rows import ROW_FEATURES

ITEMS, CATEGORIES, DIMENSION, LENGTH = 60, 6, 8, 10
NOW_US = 1_795_201_200_000_000  # 2026-11-20T19:00:00Z
_SCORES = (
    (contract.Task.CHURN, 14),
    (contract.Task.CHURN, 45),
    (contract.Task.REPURCHASE, 14),
    (contract.Task.CATEGORY_DEMAND, 14),
)
SCORES = [f"{task}_{days}d" for task, days in _SCORES]
LIFETIME = LifetimeModel(BgNbd(0.24, 4.4, 0.8, 2.4), GammaGamma(6.25, 3.74, 1_545.0))
BOTH = ("analytics", "personalization")


def item_id(row: int) -> str:
    return f"i{row}"


def category(row: int) -> str:
    return f"c{row % CATEGORIES}"


def event(
    number: int,
    customer_id: str,
    name: str,
    rows: list[int],
    ago_s: float = 60.0,
    consent: tuple[str, ...] = BOTH,
) -> Event:
    at_us = NOW_US - int(ago_s * 1_000_000)
    return Event(
        event_id=f"e{number}",
        type="track",
        name=name,
        customer_id=customer_id,
        occurred_at_us=at_us,
        known_at_us=at_us,
        source="test",
        lines=tuple(Line(item_id(row), 1, 1_000 + row, category(row)) for row in rows),
        consent=consent,
    )


def write(folder: Path, *, seed: int = 0, ranker: bool = True, encoder: str = "sum") -> Path:
    """Seal a bundle in a folder. `encoder` is `sum` (of item vectors) or `nan`."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(ITEMS, DIMENSION)).astype(np.float32)
    index = faiss.IndexFlatIP(DIMENSION)
    index.add(vectors)
    faiss.write_index(index, str(folder / contract.INDEX))
    _write_encoder(folder / contract.ENCODER, vectors, encoder)
    rows = [[item_id(row), category(row), 1_000 + row, 1] for row in range(ITEMS)]
    (folder / contract.ITEMS).write_text(json.dumps(rows))
    popular = generator.permutation(ITEMS)[:40].tolist()
    (folder / contract.POPULAR).write_text(json.dumps(popular))
    _write_beside(folder, generator, vectors)
    if ranker:
        _train(generator, len(RANKER_FEATURES), "reg:squarederror").save_model(
            folder / contract.RANKER_FILES[contract.RankerFormat.XGBOOST]
        )
    specs = [_score(folder, generator, task, days) for task, days in _SCORES]
    curve = {"x": [0.0, 0.5, 1.0], "y": [0.1, 0.4, 0.9]}
    (folder / contract.CALIBRATION).write_text(json.dumps({spec.name: curve for spec in specs}))
    return seal(folder, specs)


def _score(
    folder: Path, generator: np.random.Generator, task: contract.Task, days: int
) -> contract.ScoreSpec:
    name, features = f"{task}_{days}d", list(ROW_FEATURES[task])
    _train(generator, len(features), "binary:logistic").save_model(folder / f"{name}.ubj")
    active_days = 30 if days == 14 else 0
    return contract.ScoreSpec(name, task, days, f"{name}.ubj", features, active_days)


def _write_beside(folder: Path, generator: np.random.Generator, vectors: np.ndarray) -> None:
    """What the sources beside the encoder read: three companions an item, and the content."""
    arrays = {}
    for pair in PAIRS:
        found = np.stack([generator.choice(ITEMS, 3, replace=False) for _ in range(ITEMS)])
        weights = np.sort(generator.random((ITEMS, 3)), axis=1)[:, ::-1]
        arrays[f"{pair}_items"] = found.astype(np.int32)
        arrays[f"{pair}_weights"] = weights.astype(np.float32)
    np.savez(folder / contract.COVISITS, allow_pickle=False, **arrays)
    centres = {category(c): vectors[c::CATEGORIES].mean(axis=0).tolist() for c in range(CATEGORIES)}
    content = {
        "categories": centres,
        "price_edges_cents": [1_030],
        "prices": (0.1 * generator.normal(size=(2, DIMENSION))).tolist(),
    }
    (folder / contract.CONTENT).write_text(json.dumps(content))
    (folder / contract.CATEGORY_SHARES).write_text(json.dumps({"c1": 0.75, "c2": 0.25}))
    (folder / contract.LIFETIME).write_text(json.dumps(LIFETIME.parameters()))


def seal(folder: Path, specs: list[contract.ScoreSpec]) -> Path:
    file = contract.RANKER_FILES[contract.RankerFormat.XGBOOST]
    ranker = contract.RankerSpec(contract.RankerFormat.XGBOOST, file, list(RANKER_FEATURES))
    lists = [list(CUSTOMER_FEATURES), list(ITEM_FEATURES), list(RANKER_FEATURES)]
    contract.write_manifest(
        folder,
        contract.Manifest(
            created_at="2026-11-20T00:00:00Z",
            data_from="2026-09-20T00:00:00Z",
            data_to="2026-11-20T00:00:00Z",
            items=ITEMS,
            encoder=contract.EncoderSpec(LENGTH, DIMENSION),
            ranker=ranker if (folder / file).is_file() else None,
            customer_features=lists[0],
            item_features=lists[1],
            ranker_features=lists[2],
            features_hash=contract.features_hash(*lists),
            scores=specs,
            metrics={},
            libraries={},
            code_version="test",
            digests=contract.digests_of(folder),
        ),
    )
    return folder


def _write_encoder(path: Path, vectors: np.ndarray, kind: str) -> None:
    table = np.vstack([np.zeros((1, DIMENSION), np.float32), vectors])
    weights = np.array([[0.0], [1.0], [3.0], [5.0], [2.0]], np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "items"], ["rows"]),
        helper.make_node("Gather", ["weights", "kinds"], ["weight"]),
        helper.make_node("Mul", ["rows", "weight"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axes"], ["summed"], keepdims=0),
        helper.make_node("Mul", ["summed", "factor"], ["query"]),
    ]
    factor = np.array(np.nan if kind == "nan" else 1.0, np.float32)
    history = ["batch", LENGTH]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("items", TensorProto.INT64, history),
            helper.make_tensor_value_info("kinds", TensorProto.INT64, history),
        ],
        [helper.make_tensor_value_info("query", TensorProto.FLOAT, ["batch", DIMENSION])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([1], np.int64), "axes"),
            numpy_helper.from_array(factor, "factor"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def _train(generator: np.random.Generator, features: int, objective: str) -> xgboost.Booster:
    rows = generator.normal(size=(50, features)).astype(np.float32)
    labels = (generator.random(50) > 0.5).astype(np.float32)
    parameters = {"objective": objective, "nthread": 1, "max_depth": 3, "seed": 0}
    return xgboost.train(parameters, xgboost.DMatrix(rows, labels, nthread=1), 5)
