"""What an .onnx file's nodes compute in, read from the graph that really runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgekit.engine.temporary import temporary_folder
from edgekit.errors import EdgekitError
from edgekit.models import _onnx_plain as plain
from edgekit.runtimes import _onnx_graph as graph
from edgekit.runtimes._onnx_facts import CONVERSIONS, HEAVY, INT8_HEAVY, Facts, name_of
from edgekit.runtimes.contract.description import Description, Operator, Port, only

RESHAPES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}
BYTES = {"int8": 1, "int16": 2, "float32": 4}
TRANSPOSES = {"Transpose", "ReorderInput", "ReorderOutput"}
"""The last two move channels into blocks and back, for x86's convolutions."""


def describe(path: Path) -> Description:
    """Read a model file back; the graph is what is left once the session has fused what it can.

    Raises:
        EdgekitError: ONNX Runtime does not load it, or it has several inputs.
    """
    try:
        model, source = read(path)
        running = _running(source)
    except Exception as error:  # the libraries' exceptions have no common base of their own
        raise EdgekitError(f"ONNX Runtime cannot load {path}: {error}") from error
    only([value.name for value in running.input], path)
    written = _written(model)
    return Description(
        input=port(running.input[0]),
        output=port(running.output[0]).model_copy(update=_grid(written)),
        operators=_operators(running, Facts(written, running)),
        per_channel=_is_per_channel(written),
        conversions=_conversions(running),
        transposes=_transposes(running),
    )


def read(path: Path) -> tuple[Any, Path | bytes]:
    """A model, and what to open a session of: with weights in a file beside it, ONNX Runtime would
    have the graph that it saves look for them beside that graph."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    model = onnx.load(path, load_external_data=False)
    if not any(uses_external_data(tensor) for tensor in model.graph.initializer):
        return model, path
    load_external_data_for_model(model, str(path.parent))
    return model, model.SerializeToString()


def _written(model: Any) -> Any:
    """The graph of the file with the shapes that one image gives."""
    import onnx

    plain.free_constants(model)
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].dim_value:
            dims[0].dim_value = 1
            del model.graph.value_info[:]  # inferred for an open batch
    return onnx.shape_inference.infer_shapes(model).graph


def _running(source: Path | bytes) -> Any:
    import onnxruntime

    with temporary_folder() as folder:
        return session_of(source, onnxruntime.SessionOptions(), folder)[1]


def session_of(source: Path | bytes, options: Any, folder: Path) -> tuple[Any, Any]:
    """A session, and the graph that it runs."""
    import onnx
    import onnxruntime

    options.log_severity_level = 3  # it warns that the dump fits this CPU only: we know
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    model = onnx.load(options.optimized_model_filepath)
    plain.free_constants(model)
    return session, model.graph


def running_operators(model: Any, running: Any) -> tuple[Operator, ...]:
    """One for each node of the graph that runs.

    Args:
        model: what `read` gave.
    """
    return _operators(running, Facts(_written(model), running))


def port(value: Any) -> Port:
    from onnx import helper

    tensor = value.type.tensor_type
    shape = tuple(d.dim_value for d in tensor.shape.dim)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return Port(name=value.name, shape=shape, dtype=dtype)


def _grid(written: Any) -> dict[str, float | int]:
    """The scale and the zero point of a graph's output, where a QuantizeLinear makes it."""
    from onnx import numpy_helper

    node = _last_computing(written)
    if node is None or node.op_type != "QuantizeLinear":
        return {}
    constants = plain.constants(written)
    names = [name for name in node.input[1:] if name]  # without a zero point it is 0
    values = [numpy_helper.to_array(constants[name]) for name in names if name in constants]
    if len(values) < len(names) or any(value.size != 1 for value in values):
        return {}
    scale, zero_point = (*(value.item() for value in values), 0)[:2]
    return {"scale": float(scale), "zero_point": int(zero_point)}


def _last_computing(written: Any) -> Any:
    """The node that makes the values of a graph's output; None where there is none."""
    maker = {name: node for node in written.node for name in node.output}
    node = maker.get(written.output[0].name)
    while node is not None and node.op_type in RESHAPES:
        node = maker.get(node.input[0])
    return node


def _operators(running: Any, facts: Facts) -> tuple[Operator, ...]:
    """Every node; one that only moves data counts as what flows through it."""
    codes, wide = _given_codes(running), _wide_constants(running)
    operators = []
    for node in running.node:
        kind = node.op_type
        is_light = kind not in HEAVY and kind not in CONVERSIONS
        moved = codes.get(node.input[0], "") if is_light and node.input else ""
        if made := moved or _codes_made(node, wide):
            codes |= dict.fromkeys(node.output, made)
        is_int8 = kind in INT8_HEAVY or kind.startswith("QLinear")
        operators.append(_operator(node, moved or ("int8" if is_int8 else "float32"), facts))
    return tuple(operators)


def _given_codes(running: Any) -> dict[str, str]:
    from onnx import TensorProto

    inputs = running.input
    return {i.name: "int8" for i in inputs if i.type.tensor_type.elem_type == TensorProto.UINT8}


def _wide_constants(running: Any) -> set[str]:
    from onnx import TensorProto

    types = (TensorProto.UINT16, TensorProto.INT16)
    return {i.name for i in running.initializer if i.data_type in types}


def _codes_made(node: Any, wide: set[str]) -> str:
    """The type of the codes that a node makes; empty for floats.

    Args:
        wide: the constants of 16 bits.
    """
    kind = node.op_type
    if kind == "QuantizeLinear":
        return "int16" if node.input[-1] in wide else "int8"
    # With fewer than nine inputs a QGemm has no output scale: it gives floats.
    is_whole_gemm = kind == "QGemm" and len(node.input) == 9
    return "int8" if kind.startswith("QLinear") or is_whole_gemm else ""


def _operator(node: Any, precision: str, facts: Facts) -> Operator:
    heavy = node.op_type in HEAVY
    return Operator(
        name=name_of(node),
        kind=node.op_type,
        written=facts.written(node) if heavy else name_of(node),
        precision=precision,
        stored=facts.stored(node) if heavy else "",
        reads=facts.reads(node) if heavy else "",
        heavy=heavy,
        macs=facts.macs(node) if heavy else 0,
        work=facts.work(node) if heavy else None,
        weights=facts.weights(node),
        moved=facts.moved(node, BYTES[precision]),
    )


def _conversions(running: Any) -> tuple[str, ...]:
    """Conversions with a heavy operator before and after them, or of a constant.

    At the ends of a graph the image becomes codes, and codes become scores: that is no fault.
    """
    after = _reached(running.node, backwards=False)
    before = _reached(running.node, backwards=True)
    constants = {i.name for i in running.initializer}
    return tuple(
        name_of(node)
        for node in running.node
        if node.op_type in graph.QDQ
        and (node.input[0] in constants or node.output[0] in after)
        and node.output[0] in before
    )


def _reached(nodes: Iterable[Any], backwards: bool) -> set[str]:
    """Tensors that come after a heavy operator; backwards, that a heavy operator comes after."""
    reached: set[str] = set()
    for node in reversed(list(nodes)) if backwards else nodes:
        here, there = (node.output, node.input) if backwards else (node.input, node.output)
        if node.op_type in HEAVY or any(name in reached for name in here):
            reached.update(there)
    return reached


def _transposes(running: Any) -> tuple[str, ...]:
    """Nodes that move data to another layout, without those of the image itself."""
    after = _reached(running.node, backwards=False)
    return tuple(
        name_of(node)
        for node in running.node
        if node.op_type in TRANSPOSES and node.input[0] in after
    )


def _is_per_channel(written: Any) -> bool:
    """Whether every int8 weight has a scale for each output channel."""
    from onnx import TensorProto

    constants = {i.name: i for i in written.initializer}
    found = [
        math.prod(constants[node.input[1]].dims) > 1 or weight.dims[_axis(node)] == 1
        for node in written.node
        if node.op_type == "DequantizeLinear"
        and (weight := constants.get(node.input[0])) is not None
        and weight.data_type == TensorProto.INT8
        and len(weight.dims) > 1
    ]
    return bool(found) and all(found)


def _axis(node: Any) -> int:
    """Along which a DequantizeLinear has its scales; 1 unless it says otherwise (ONNX)."""
    return next((a.i for a in node.attribute if a.name == "axis"), 1)
