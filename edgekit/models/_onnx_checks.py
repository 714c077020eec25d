"""What an ONNX graph must be to be a float classifier of one image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.data.size import Size
from edgekit.errors import WeightsError
from edgekit.models._input_shape import DEPTHS, advice
from edgekit.models.source import Channels

QUANTIZED = {
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv"),
    *("QLinearMatMul", "ConvInteger", "MatMulInteger"),
}
OPTIMISED = ("com.microsoft", "com.ms.")
"""Domains of operators that ONNX Runtime alone has, for what it fused or laid out anew."""

STANDARD = ("", "ai.onnx", "ai.onnx.ml")


def graphs(model: Any) -> Iterator[Any]:
    """The graph of a model, and those inside its operators and functions: whatever has nodes."""
    waiting = [model.graph, *model.functions]
    while waiting:
        here = waiting.pop()
        yield here
        attributes = [a for node in here.node for a in node.attribute]
        waiting += [a.g for a in attributes if a.HasField("g")]
        waiting += [graph for a in attributes for graph in a.graphs]


def check_operators(model: Any, path: Path) -> None:
    """
    Raises:
        WeightsError: it is quantised already, saved by ONNX Runtime's optimiser, or holds operators
            of a maker's own.
    """
    nodes = [node for graph in graphs(model) for node in graph.node]
    _refuse_quantised(nodes, path)
    _refuse_optimised(nodes, path)
    functions = {(function.domain, function.name) for function in model.functions}
    _refuse_custom([n for n in nodes if (n.domain, n.op_type) not in functions], path)


def _refuse_quantised(nodes: list[Any], path: Path) -> None:
    int8 = sorted({n.op_type for n in nodes} & QUANTIZED)
    if int8:
        raise WeightsError(
            f"model.weights: {path} is quantised already: it holds {', '.join(int8)}",
            hint="give the float model it was made from",
        )


def _refuse_optimised(nodes: list[Any], path: Path) -> None:
    own = sorted({n.op_type for n in nodes if n.domain.startswith(OPTIMISED)})
    if own:
        raise WeightsError(
            f"model.weights: {path} was saved by ONNX Runtime's optimiser: it holds its own "
            f"operators {', '.join(own)}, which no other runtime reads",
            hint="give the file that was optimised; optimized_model_filepath and onnxruntime's "
            "optimizer write for one runtime and one processor",
        )


def _refuse_custom(nodes: list[Any], path: Path) -> None:
    custom = sorted({f"{n.domain}::{n.op_type}" for n in nodes if n.domain not in STANDARD})
    if custom:
        raise WeightsError(
            f"model.weights: {path} holds operators that are not ONNX's own: {', '.join(custom)}",
            hint="export the model without them: they need a library of their maker's, which is "
            "never loaded",
        )


def check_weights(graph: Any, path: Path) -> None:
    """
    Raises:
        WeightsError: weights hold NaN or infinity.
    """
    import numpy as np
    from onnx import numpy_helper

    floats = [tensor for tensor in graph.initializer if tensor.data_type in float_types()]
    bad = [t.name for t in floats if not np.isfinite(numpy_helper.to_array(t)).all()]
    if bad:
        raise WeightsError(
            f"model.weights: {path}: {len(bad)} tensors hold NaN or infinity: {', '.join(bad[:5])}"
        )


def float_types() -> set[int]:
    from onnx import TensorProto

    return {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE}


def only_input(graph: Any, path: Path) -> Any:
    """The one input of a graph with one output.

    Raises:
        WeightsError: it has others, which are named.
    """
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    for kind, values in (("input", inputs), ("output", graph.output)):
        if len(values) != 1:
            names = ", ".join(value.name for value in values) or "none"
            raise WeightsError(
                f"model.weights: {path} has {len(values)} {kind}s ({names}), one expected",
                hint="export the part that goes from one image to one row of scores",
            )
    return inputs[0]


def fix_size(value: Any, size: Size, channels: Channels, path: Path) -> int:
    """Check that an input is float32 images; set what its shape leaves open, the batch to 1.

    Returns:
        the batch, which may be more.

    Raises:
        WeightsError: it takes something else.
    """
    from onnx import TensorProto

    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        kind = TensorProto.DataType.Name(tensor.elem_type)
        raise WeightsError(
            f"model.weights: input {value.name} of {path} is {kind}, FLOAT expected",
            hint="export the float32 model, whose pixels are normalised before it",
        )
    dims = tensor.shape.dim
    sides = check_shape(value, size, channels, path)[1:]
    batch: int = dims[0].dim_value or 1
    for dim, number in zip(dims, [batch, *sides], strict=True):
        dim.dim_value = number
    return batch


def check_shape(value: Any, size: Size, channels: Channels, path: Path) -> list[int]:
    """The shape of one image of this size that an input can take.

    Raises:
        WeightsError: it takes another one.
    """
    shape = [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
    fixed = _fixed_shape([1, *shape[1:]], size, DEPTHS[channels])
    if fixed is None:
        planar, last = layouts(size, DEPTHS[channels])
        raise WeightsError(
            f"model.weights: input {value.name} of {path} has the shape "
            f"{['?' if d is None else d for d in shape]}, {planar} or {last} expected",
            hint=_advice(shape, size, channels),
        )
    return fixed


def has_open_sides(value: Any) -> bool:
    """Whether an input takes four dimensions of any length, but for the batch."""
    dims = value.type.tensor_type.shape.dim
    return len(dims) == 4 and not any(dim.dim_value for dim in dims[1:])


def layouts(size: Size, depth: int) -> tuple[list[int], list[int]]:
    """The shapes of one image: channels first, channels last."""
    return [1, depth, *size], [1, *size, depth]


def _advice(shape: list[int | None], size: Size, channels: Channels) -> str:
    if len(shape) != 4:
        return "give a model that takes one image: four dimensions"
    last = shape[3] in (1, 3) and shape[1] not in (1, 3)
    height, width, depth = shape[1:] if last else (*shape[2:], shape[1])
    return advice(height, width, depth, size, channels)


def _fixed_shape(shape: list[int | None], size: Size, depth: int) -> list[int] | None:
    """The shape of one image that an input with open dimensions (None) can take; None for none."""
    # An open dimension fits both layouts: the channels tell which.
    places = [axis for axis, length in enumerate(shape) if axis and length == depth]
    for axis, layout in zip((1, 3), layouts(size, depth), strict=True):
        if places == [axis] and len(shape) == 4 and _fits(shape, layout):
            return layout
    return None


def _fits(shape: list[int | None], layout: list[int]) -> bool:
    return all(have in (None, want) for have, want in zip(shape, layout, strict=True))
