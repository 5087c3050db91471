"""ONNX graphs: what may stand in one, and what it takes and gives. Pure but for onnx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from training.bring.refusal import Refused

# Standard operators compute and nothing else. Others come as libraries with code of their own.
DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}


def inspect(model: Any) -> None:
    """Refuse a graph that names foreign operators or files, or that is not well formed."""
    import onnx

    foreign = sorted(
        {f"{node.domain}.{node.op_type}" for node in _nodes(model) if node.domain not in DOMAINS}
    )
    if foreign:
        raise Refused(
            f"its graph uses operators outside the standard ({', '.join(foreign[:5])}), which "
            "would run code that nobody has checked; export it with standard operators alone"
        )
    if any(_is_external(tensor) for tensor in _tensors(model)):
        raise Refused(
            "its weights lie in files beside the graph; save it as one file "
            "(onnx.save(..., save_as_external_data=False))"
        )
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's errors have no common base that is stable
        raise Refused(f"its graph is not well formed ({_first_line(error)})") from error


def check_ranker(model: Any, features: int) -> None:
    """Refuse what is not: one input (batch, F) float32, first output (batch,) or (batch, 1)."""
    from onnx import TensorProto

    inputs = _inputs(model)
    if len(inputs) != 1:
        raise Refused(f"it has {len(inputs)} inputs; a ranker has one, rows of features")
    kind, shape = _kind_and_shape(inputs[0])
    if kind != TensorProto.FLOAT or len(shape) != 2:
        raise Refused(
            f"its input is {TensorProto.DataType.Name(kind)} of shape {shape}; expected FLOAT of "
            f"shape (batch, {features})"
        )
    if shape[1] not in (0, features):
        raise Refused(f"its input has {shape[1]} columns, and {features} features are named")
    kind, shape = _kind_and_shape(model.graph.output[0])
    if kind != TensorProto.FLOAT or len(shape) > 2 or (len(shape) == 2 and shape[1] > 1):
        raise Refused(
            f"its first output {model.graph.output[0].name!r} is {TensorProto.DataType.Name(kind)} "
            f"of shape {shape}; expected one FLOAT score a row. A classifier gives labels first: "
            "convert a regressor, or cut the graph down to its score"
        )


def check_encoder(model: Any) -> tuple[int, int]:
    """(history length, dimension) of an encoder; refuses what has not the contract's names."""
    inputs = {one.name: _kind_and_shape(one) for one in _inputs(model)}
    outputs = {one.name: _kind_and_shape(one) for one in model.graph.output}
    if set(inputs) != {"items", "kinds"} or "query" not in outputs:
        raise Refused(
            f"its inputs are {sorted(inputs)} and its outputs {sorted(outputs)}; expected inputs "
            "'items' and 'kinds' and an output 'query'"
        )
    lengths = {shape[1] if len(shape) == 2 else 0 for _, shape in inputs.values()}
    dimension = outputs["query"][1][-1] if outputs["query"][1] else 0
    if len(lengths) != 1 or 0 in lengths or not dimension:
        raise Refused(
            "its shapes must say how long a history and how wide a vector is: items and kinds "
            f"(batch, L), query (batch, D); found {inputs} and {outputs['query'][1]}"
        )
    return lengths.pop(), dimension


def _inputs(model: Any) -> list[Any]:
    """The inputs that must be given: older graphs list their weights among them."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [one for one in model.graph.input if one.name not in weights]


def _kind_and_shape(value: Any) -> tuple[int, tuple[int, ...]]:
    """Its element type, and its shape with 0 for what is open."""
    tensor = value.type.tensor_type
    return int(tensor.elem_type), tuple(int(one.dim_value) for one in tensor.shape.dim)


def _nodes(model: Any) -> Iterator[Any]:
    for graph in (model.graph, *model.functions):
        yield from _nodes_of(graph)


def _nodes_of(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes_of(inner)


def _tensors(model: Any) -> Iterator[Any]:
    yield from _weights(model.graph)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _weights(inner)


def _weights(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)


def _is_external(tensor: Any) -> bool:
    from onnx import TensorProto

    return tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data) > 0


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
