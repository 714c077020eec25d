"""An ONNX graph: rewrite it for int8, give it another input, read what its nodes compute in."""

from __future__ import annotations

from typing import Any

from edgekit.runtimes.base import InputForm, Operator, PixelGrid

INPUT, OUTPUT = "image", "scores"

FLOAT_HEAVY = {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm"}
FLOAT_HEAVY |= {"MatMul", "FusedMatMul"}
INT8_HEAVY = {"QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger"}
INT8_HEAVY |= {"MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
CONVERSIONS = {"Cast", "QuantizeLinear", "DequantizeLinear"}


def pool_globally(model: Any) -> Any:
    """Write averages over height and width as GlobalAveragePool: ReduceMean has no int8 kernel."""
    from onnx import helper, numpy_helper, shape_inference

    inferred = shape_inference.infer_shapes(model).graph
    rank = {v.name: len(v.type.tensor_type.shape.dim) for v in inferred.value_info}
    constants = {i.name: i for i in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        axes = constants.get(node.input[1]) if len(node.input) > 1 else None
        spatial = axes and sorted(numpy_helper.to_array(axes).ravel() % 4) == [2, 3]
        if node.op_type != "ReduceMean" or rank.get(node.input[0]) != 4 or not spatial:
            nodes.append(node)
            continue
        keeps = all(a.i for a in node.attribute if a.name == "keepdims")
        (x, y), pooled = (node.input[0], node.output[0]), f"{node.output[0]}_pooled"
        pool = helper.make_node("GlobalAveragePool", [x], [y if keeps else pooled], node.name)
        nodes.append(pool)
        if not keeps:
            nodes.append(helper.make_node("Flatten", [pooled], [y], f"{node.name}_flatten"))
    set_nodes(model.graph, nodes)
    return model


def set_nodes(graph: Any, nodes: list[Any]) -> None:
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def strip_notes(model: Any) -> None:
    """Drop the exporter's stack traces: they hold paths of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


def planes(graph: Any) -> Any:
    """The Transpose to NCHW that `compile` put behind the input; the quantiser follows it."""
    return next(node for node in graph.node if INPUT in node.input)


def take_codes(graph: Any, grid: PixelGrid | None) -> bool:
    """Feed pixels to the first DequantizeLinear, where they are the codes it expects."""
    import numpy as np
    from onnx import numpy_helper

    transpose = planes(graph)
    quantizers = [n for n in graph.node if transpose.output[0] in n.input]
    if grid is None or [n.op_type for n in quantizers] != ["QuantizeLinear"]:
        return False
    quantizer = quantizers[0]
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    scale, zero_point = (constants[name] for name in quantizer.input[1:3])
    if scale != np.float32(grid.scale) or zero_point != grid.zero_point:
        return False
    transpose.output[0] = quantizer.output[0]
    graph.node.remove(quantizer)
    known = [v for v in graph.value_info if v.name in (*quantizer.input, *quantizer.output)]
    for value in known:
        graph.value_info.remove(value)
    return True


def normalize_in_front(graph: Any, form: InputForm) -> None:
    """Put (pixels / 255 - mean) / std in front, in float."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    mean, std = np.asarray(form.mean), np.asarray(form.std)
    constants = {"pixel_scale": 1 / (255 * std), "pixel_shift": -mean / std}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    transpose = planes(graph)
    transpose.input[0] = "normalised"
    cast = helper.make_node("Cast", [INPUT], ["pixels"], "pixels", to=TensorProto.FLOAT)
    scale = helper.make_node("Mul", ["pixels", "pixel_scale"], ["scaled"], "pixel_scaling")
    shift = helper.make_node("Add", ["scaled", "pixel_shift"], ["normalised"], "pixel_shifting")
    set_nodes(graph, [cast, scale, shift, *graph.node])


def operators(graph: Any) -> tuple[Operator, ...]:
    """Every node; one that only moves data counts as what flows through it."""
    from onnx import TensorProto

    codes = {i.name for i in graph.input if i.type.tensor_type.elem_type == TensorProto.UINT8}
    operators = []
    for node in graph.node:
        kind, heavy = node.op_type, node.op_type in FLOAT_HEAVY | INT8_HEAVY
        moves = not heavy and kind not in CONVERSIONS and node.input and node.input[0] in codes
        int8 = moves or kind in INT8_HEAVY or kind.startswith("QLinear")
        # A QGemm with fewer than nine inputs has no output scale: it gives floats.
        if (
            moves
            or kind == "QuantizeLinear"
            or kind.startswith("QLinear")
            or (kind == "QGemm" and len(node.input) == 9)
        ):
            codes.update(node.output)
        operators.append(
            Operator(
                name=node.name or node.output[0],
                kind=kind,
                precision="int8" if int8 else "float32",
                heavy=heavy,
            )
        )
    return tuple(operators)


def is_per_channel(graph: Any) -> bool:
    """Whether every int8 weight has more than one scale."""
    from onnx import TensorProto

    constants = {i.name: i for i in graph.initializer}
    scales = [
        constants[node.input[1]]
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and (weight := constants.get(node.input[0])) is not None
        and weight.data_type == TensorProto.INT8
        and len(weight.dims) > 1
    ]
    return bool(scales) and all(scale.dims and scale.dims[0] > 1 for scale in scales)
