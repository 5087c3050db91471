"""What an ONNX graph may hold, and what it must take and give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.unit.training.bring.made import onnx_encoder
from training.bring import Refused, graphs


def linear(width: int = 3, **changes: Any) -> onnx.ModelProto:
    """Score = rows @ weights; `changes` replace what a test is about."""
    nodes = changes.get("nodes") or [helper.make_node("MatMul", ["rows", "weights"], ["score"])]
    graph = helper.make_graph(
        nodes,
        "linear",
        [
            helper.make_tensor_value_info(
                "rows", changes.get("kind", TensorProto.FLOAT), ["batch", width]
            )
        ],
        [
            helper.make_tensor_value_info(
                "score", changes.get("gives", TensorProto.FLOAT), changes.get("shape", ["batch", 1])
            )
        ],
        [numpy_helper.from_array(np.ones((width, 1), np.float32), "weights")],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    model = helper.make_model(graph, opset_imports=imports)
    model.ir_version = 8
    return model


def test_a_plain_graph_passes() -> None:
    graphs.inspect(linear())
    graphs.check_ranker(linear(), 3)


def test_operators_outside_the_standard_are_refused_by_name() -> None:
    foreign = helper.make_node("PyOp", ["rows"], ["score"], domain="acme")

    with pytest.raises(Refused, match=r"acme\.PyOp"):
        graphs.inspect(linear(nodes=[foreign]))


def test_a_foreign_operator_inside_a_branch_is_found() -> None:
    inner = helper.make_graph(
        [helper.make_node("PyOp", ["rows"], ["deep"], domain="acme")],
        "branch",
        [],
        [helper.make_tensor_value_info("deep", TensorProto.FLOAT, ["batch", 1])],
    )
    branch = helper.make_node("If", ["flag"], ["score"], then_branch=inner, else_branch=inner)

    with pytest.raises(Refused, match=r"acme\.PyOp"):
        graphs.inspect(linear(nodes=[branch]))


def test_weights_in_files_beside_the_graph_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = linear(width=600)
    onnx.save(model, path, save_as_external_data=True, size_threshold=0, location="weights.bin")

    with pytest.raises(Refused, match="files beside the graph"):
        graphs.inspect(onnx.load(path, load_external_data=False))


def test_sparse_weights_in_files_beside_the_graph_are_refused() -> None:
    model = linear()
    values = numpy_helper.from_array(np.ones(1, np.float32), "weights")
    values.data_location = TensorProto.EXTERNAL
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3, 1]))

    with pytest.raises(Refused, match="files beside the graph"):
        graphs.inspect(model)


def test_a_graph_that_is_not_well_formed_is_refused() -> None:
    dangling = helper.make_node("MatMul", ["rows", "nothing"], ["score"])

    with pytest.raises(Refused, match="not well formed"):
        graphs.inspect(linear(nodes=[dangling]))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (lambda: linear(width=4), "4 columns, and 3 features"),
        (lambda: linear(kind=TensorProto.DOUBLE), "its input is DOUBLE"),
        (lambda: linear(gives=TensorProto.INT64), "A classifier gives labels first"),
        (lambda: linear(shape=["batch", 2]), r"of shape \(0, 2\)"),
    ],
)
def test_a_ranker_of_another_shape_is_refused_with_what_is_expected(
    model: Callable[[], onnx.ModelProto], why: str
) -> None:
    with pytest.raises(Refused, match=why):
        graphs.check_ranker(model(), 3)


def test_an_encoder_says_how_far_it_looks_back_and_how_wide_it_answers() -> None:
    model, _ = onnx_encoder(items=7, length=5)

    assert graphs.check_encoder(model) == (5, 7)
    with pytest.raises(Refused, match="'items' and 'kinds'"):
        graphs.check_encoder(linear())
