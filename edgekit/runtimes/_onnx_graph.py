"""An ONNX graph: rewrite it for int8, give it another input."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.runtimes.contract.input_form import InputForm, PixelGrid

INPUT, OUTPUT = "image", "scores"

QDQ = ("QuantizeLinear", "DequantizeLinear")
LAYERS = ("Conv", "ConvTranspose", "Gemm")


def pool_globally(model: Any) -> Any:
    """Write averages over height and width as GlobalAveragePool: ReduceMean has no int8 kernel."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model).graph
    rank = {v.name: len(v.type.tensor_type.shape.dim) for v in inferred.value_info}
    constants = {i.name: i for i in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        is_of_planes = rank.get(node.input[0]) == 4 if node.op_type == "ReduceMean" else False
        pools = is_of_planes and _is_over_height_and_width(node, constants)
        nodes += _global_pooling(node) if pools else [node]
    set_nodes(model.graph, nodes)
    return model


def _is_over_height_and_width(mean: Any, constants: dict[str, Any]) -> bool:
    """Whether a ReduceMean's axes are the last two of four, counted from either end."""
    from onnx import numpy_helper

    axes = constants.get(mean.input[1]) if len(mean.input) > 1 else None
    return axes is not None and sorted(numpy_helper.to_array(axes).ravel() % 4) == [2, 3]


def _global_pooling(mean: Any) -> list[Any]:
    """The nodes that stand for a ReduceMean; one that keeps no dimensions needs a Flatten."""
    from onnx import helper

    keeps = all(a.i for a in mean.attribute if a.name == "keepdims")
    (x, y), pooled = (mean.input[0], mean.output[0]), f"{mean.output[0]}_pooled"
    pool = helper.make_node("GlobalAveragePool", [x], [y if keeps else pooled], mean.name)
    flatten = helper.make_node("Flatten", [pooled], [y], f"{mean.name}_flatten")
    return [pool] if keeps else [pool, flatten]


def readers_of(graph: Any, tensor: str) -> list[Any]:
    return [node for node in graph.node if tensor in node.input]


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


def rename_ends(model: Any, source: str, sink: str, planar: bool) -> Any:
    """Let a model take `image` (NHWC) and give `scores` (one row).

    Args:
        planar: it takes NCHW so far.
    """
    from onnx import TensorProto, helper, shape_inference

    graph = model.graph
    inside = {source: f"model_{source}" if planar else INPUT, sink: f"model_{sink}"}
    # First, since a model may call something else `image` or `scores` already.
    _rename_tensors(graph, inside)
    value = next(v for v in graph.input if v.name == source)
    value.name = INPUT
    if planar:
        _take_channels_last(graph, value, inside[source])
    graph.node.append(helper.make_node("Flatten", [inside[sink]], [OUTPUT], "to_row"))
    result = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None)
    graph.output[0].CopyFrom(result)
    return shape_inference.infer_shapes(model)


def _rename_tensors(graph: Any, inside: dict[str, str]) -> None:
    """Rename what nodes read and write, and make way for the names of the two ends."""
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = inside.get(name, f"model_{name}" if name in (INPUT, OUTPUT) else name)
    for constant in graph.initializer:
        if constant.name in (INPUT, OUTPUT):
            constant.name = f"model_{constant.name}"


def _take_channels_last(graph: Any, value: Any, planes: str) -> None:
    """Make an NCHW input NHWC, and transpose it to `planes` in front of everything."""
    from onnx import helper

    dims = value.type.tensor_type.shape.dim
    _, channels, height, width = (d.dim_value for d in dims)
    for dim, size in zip(dims[1:], (height, width, channels), strict=True):
        dim.dim_value = size
    move = helper.make_node("Transpose", [INPUT], [planes], "to_planes", perm=[0, 3, 1, 2])
    set_nodes(graph, [move, *graph.node])


def pixels(graph: Any) -> str:
    """The tensor that holds the image in the layout that the model computes in."""
    readers = [node for node in graph.node if INPUT in node.input]
    only_moved = [node.op_type for node in readers] == ["Transpose"]
    return str(readers[0].output[0]) if only_moved else INPUT


def take_codes(graph: Any, grid: PixelGrid | None) -> bool:
    """Feed pixels to the first DequantizeLinear, where they are the codes it expects.

    Returns:
        whether they are; else the graph stays as it is.
    """
    name = pixels(graph)
    readers = readers_of(graph, name)
    if grid is None or [node.op_type for node in readers] != ["QuantizeLinear"]:
        return False
    (quantizer,) = readers
    if not _is_on_grid(graph, quantizer, grid):
        return False
    codes = quantizer.output[0]
    graph.node.remove(quantizer)
    for node in graph.node:
        node.input[:] = [name if i == codes else i for i in node.input]
    forget(graph, {name, codes})
    return True


def _is_on_grid(graph: Any, quantizer: Any, grid: PixelGrid) -> bool:
    """Whether a QuantizeLinear has exactly the scale (as float32) and the zero point of a grid."""
    import numpy as np
    from onnx import numpy_helper

    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    scale, zero_point = (constants[name] for name in quantizer.input[1:3])
    return bool(scale == np.float32(grid.scale) and zero_point == grid.zero_point)


def normalize_in_front(graph: Any, form: InputForm) -> None:
    """Put (pixels / 255 - mean) / std in front, in float."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    mean, std = np.asarray(form.mean), np.asarray(form.std)
    constants = {"pixel_scale": 1 / (255 * std), "pixel_shift": -mean / std}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    for node in graph.node:
        node.input[:] = ["normalised" if i == INPUT else i for i in node.input]
    cast = helper.make_node("Cast", [INPUT], ["pixels"], "pixels", to=TensorProto.FLOAT)
    scale = helper.make_node("Mul", ["pixels", "pixel_scale"], ["scaled"], "pixel_scaling")
    shift = helper.make_node("Add", ["scaled", "pixel_shift"], ["normalised"], "pixel_shifting")
    set_nodes(graph, [cast, scale, shift, *graph.node])


def part_constants(graph: Any) -> None:
    """Give every node a float constant of its own: the exporter shares what is equal, such as
    weights of several normalisations, and what is made of a shared one goes wrong (onnxruntime
    1.32).

    - Its quantiser copies a shared bias under a name that another tensor may have
      (github.com/microsoft/onnxruntime/issues/24705).
    - A session for exact sums on x86 (`session.x64quantprecision`) writes int8 constants anew under
      a name made of theirs, and fails where two DequantizeLinear read the same one.
    """
    from onnx import TensorProto

    for constant in [i for i in graph.initializer if i.data_type == TensorProto.FLOAT]:
        for reader in readers_of(graph, constant.name)[1:]:
            own = type(constant).FromString(constant.SerializeToString())
            own.name = f"{constant.name} of {reader.name}"
            graph.initializer.append(own)
            reader.input[:] = [own.name if i == constant.name else i for i in reader.input]


def keep_layers_in_float(graph: Any) -> None:
    """Make a session leave layers in float whose weights are.

    It writes the float weights of a Conv or Gemm as int8, with one scale for all channels, where
    the input is dequantized by one scale (WeightBiasQuantization, since onnxruntime 1.21). So such
    a layer gets a DequantizeLinear of its own with that scale once for each channel, which
    computes the same.
    """
    from onnx import TensorProto, helper

    constants = {i.name: i for i in graph.initializer}
    floats = {name for name, one in constants.items() if one.data_type == TensorProto.FLOAT}
    makers = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
    nodes: list[Any] = []
    for node in graph.node:
        maker = makers.get(node.input[0]) if node.op_type in LAYERS else None
        if maker is not None and node.input[1] in floats:
            own = type(maker).FromString(maker.SerializeToString())
            own.name, own.output[0] = f"{node.name}_input", f"{node.input[0]}_{node.name}"
            own.attribute.append(helper.make_attribute("axis", 1))
            channels = _channels_in(node, constants[node.input[1]])
            for i, name in enumerate(maker.input[1:], start=1):
                graph.initializer.append(
                    _repeated(constants[name], channels, f"{name}_{node.name}")
                )
                own.input[i] = graph.initializer[-1].name
            node.input[0] = own.output[0]
            nodes.append(own)
        nodes.append(node)
    set_nodes(graph, nodes)


def _channels_in(layer: Any, weights: Any) -> int:
    """Of a layer's input: its axis 1."""
    numbers = {a.name: a.i for a in layer.attribute}
    if layer.op_type == "Conv":
        return int(weights.dims[1] * numbers.get("group", 1))
    return int(weights.dims[1 if numbers.get("transB") else 0])


def _repeated(scalar: Any, count: int, name: str) -> Any:
    from onnx import numpy_helper

    value = numpy_helper.to_array(scalar)
    return numpy_helper.from_array(np.full(count, value.reshape(()), value.dtype), name)


def name_nodes(graph: Any) -> None:
    """Give every node a name of its own, by which it can be kept in float."""
    taken: set[str] = set()
    for node in graph.node:
        base = node.name or node.output[0]
        name, number = base, 1
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        node.name = name
        taken.add(name)


def drop_unread(graph: Any) -> None:
    """Drop the nodes and constants whose results nothing reads."""
    read = _drop_idle_nodes(graph)
    for constant in [i for i in graph.initializer if i.name not in read]:
        graph.initializer.remove(constant)
    made = {name for node in graph.node for name in node.output}
    forget(graph, {value.name for value in graph.value_info} - made)


def _drop_idle_nodes(graph: Any) -> set[str]:
    """Round by round, since a node may be read by idle ones alone.

    Returns:
        the tensors that are still read.
    """
    results = {value.name for value in graph.output}
    while True:
        read = {name for node in graph.node for name in node.input} | results
        idle = [node for node in graph.node if read.isdisjoint(node.output)]
        if not idle:
            return read
        for node in idle:
            graph.node.remove(node)


def forget(graph: Any, names: set[str]) -> None:
    """Drop what the graph says of the types and shapes of tensors: it is inferred anew."""
    for value in [v for v in graph.value_info if v.name in names]:
        graph.value_info.remove(value)
