"""Bring an ONNX model into the plain form that every runtime reads, computing the same."""

from __future__ import annotations

from typing import Any

from edgekit.models._input_shape import LUMA
from edgekit.models._onnx_checks import graphs

OLD_IR = 4
"""The first IR in which a constant need not be an input too."""
IR = 8
TYPED = {"to", "dtype"}
"""Attributes that name a type of elements: of Cast, EyeLike and the random operators."""


def free_constants(model: Any) -> None:
    """Take constants out of the inputs, which IR 3 demands there, and set an IR that does not."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in [v for v in model.graph.input if v.name in constants]:
        model.graph.input.remove(value)
    if model.ir_version < OLD_IR:
        model.ir_version = IR


def in_order(model: Any) -> Any:
    """The model with its nodes behind those whose results they read, which ONNX asks for and ONNX
    Runtime does without.

    Raises:
        ValueError: they run in a circle.
    """
    made = {tensor.name for tensor in model.graph.initializer}
    made |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    made |= {value.name for value in model.graph.input}
    for node in model.graph.node:
        if not made.issuperset(filter(None, node.input)):
            break
        made.update(node.output)
    else:
        return model
    import onnx_ir

    sorted_model = onnx_ir.from_proto(model)
    sorted_model.graph.sort()
    return onnx_ir.to_proto(sorted_model)


def widen(model: Any) -> bool:
    """Turn float16 and bfloat16 into float32, in which the same numbers are exact.

    Returns:
        whether there were any.
    """
    found = False
    for graph in graphs(model):
        attributes = [a for node in graph.node for a in node.attribute]
        found |= _widen_tensors(graph, attributes)
        found |= _widen_named_types(attributes)
        found |= _widen_ends(graph)
        del graph.value_info[:]
    return found


def _widen_tensors(graph: Any, attributes: list[Any]) -> bool:
    import numpy as np
    from onnx import numpy_helper

    tensors = [a.t for a in attributes if a.HasField("t")]
    tensors += getattr(graph, "initializer", ())  # a function has none
    half = [tensor for tensor in tensors if tensor.data_type in _half_types()]
    for tensor in half:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return bool(half)


def _widen_named_types(attributes: list[Any]) -> bool:
    from onnx import TensorProto

    half = [a for a in attributes if a.name in TYPED and a.i in _half_types()]
    for attribute in half:
        attribute.i = TensorProto.FLOAT
    return bool(half)


def _widen_ends(graph: Any) -> bool:
    from onnx import TensorProto

    ends = (*getattr(graph, "input", ()), *getattr(graph, "output", ()))
    # Of a function they are names alone.
    types = [end.type.tensor_type for end in ends if not isinstance(end, str)]
    half = [of_end for of_end in types if of_end.elem_type in _half_types()]
    for of_end in half:
        of_end.elem_type = TensorProto.FLOAT
    return bool(half)


def _half_types() -> set[int]:
    from onnx import TensorProto

    return {TensorProto.FLOAT16, TensorProto.BFLOAT16}


def set_batch(model: Any, batch: int) -> list[str]:
    """Let a model for `batch` images take one, also where a Reshape holds that number.

    Returns:
        the names of the nodes that hold it.
    """
    graph = model.graph
    held = _reshape_one(graph, batch)
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value == batch:
            dims[0].dim_value = 1
    del graph.value_info[:]
    return [f"{node.op_type} {node.name or node.output[0]}" for node in held]


def _reshape_one(graph: Any, batch: int) -> list[Any]:
    """Let each Reshape to `batch` images give one; these nodes."""
    import numpy as np
    from onnx import numpy_helper

    values = constants(graph)
    held = []
    for node in [n for n in graph.node if n.op_type == "Reshape" and n.input[1] in values]:
        shape = numpy_helper.to_array(values[node.input[1]])
        if shape.ndim == 1 and len(shape) and shape[0] == batch:
            single = numpy_helper.from_array(np.array([1, *shape[1:]]), f"{node.output[0]}_of_one")
            graph.initializer.append(single)
            node.input[1] = single.name
            held.append(node)
    return held


def constants(graph: Any) -> dict[str, Any]:
    """The tensors that a graph holds, by their names."""
    nodes = [node for node in graph.node if node.op_type == "Constant"]
    made = {n.output[0]: a.t for n in nodes for a in n.attribute if a.name == "value"}
    return made | {tensor.name: tensor for tensor in graph.initializer}


def one_row(graph: Any) -> None:
    """Let a graph give scores [1, classes], where it gives [1, classes, 1, 1], [classes], ..."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    (end,) = graph.output
    if len(end.type.tensor_type.shape.dim) == 2:
        return
    name, shape, row = end.name, f"{end.name}_row_shape", f"{end.name}_row"
    graph.initializer.append(numpy_helper.from_array(np.array([1, -1]), shape))
    graph.node.append(helper.make_node("Reshape", [name, shape], [row], row))
    end.CopyFrom(helper.make_tensor_value_info(row, TensorProto.FLOAT, [1, None]))


def swap_channels(graph: Any, value: Any) -> None:
    """Let a graph that takes BGR take RGB.

    Where the image goes into one convolution and nothing else, its kernel is turned round, which
    costs nothing; elsewhere a Gather is put behind the input.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    kernel = _first_kernel(graph, value.name, 3)
    if kernel is not None:
        weights = numpy_helper.to_array(kernel)
        kernel.CopyFrom(numpy_helper.from_array(weights[:, ::-1].copy(), kernel.name))
        return
    axis = [dim.dim_value for dim in value.type.tensor_type.shape.dim].index(3)
    name, order, swapped = value.name, f"{value.name}_bgr_order", f"{value.name}_bgr"
    graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), order))
    for node in _readers(graph, name):
        node.input[:] = [swapped if i == name else i for i in node.input]
    graph.node.insert(0, helper.make_node("Gather", [name, order], [swapped], swapped, axis=axis))


def take_rgb(graph: Any, value: Any) -> None:
    """Let a graph that takes grey images take RGB, and weigh the channels itself.

    Where the image goes into one convolution and nothing else, its kernel is spread over three
    channels; elsewhere a 1 x 1 convolution or a product is put behind the input.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    dims, luma = value.type.tensor_type.shape.dim, np.array(LUMA, np.float32)
    planar, name, grey = dims[1].dim_value == 1, value.name, f"{value.name}_grey"
    dims[1 if planar else 3].dim_value = 3
    kernel = _first_kernel(graph, name, 1)
    if kernel is not None:
        weights = numpy_helper.to_array(kernel) * luma[None, :, None, None]
        kernel.CopyFrom(numpy_helper.from_array(weights, kernel.name))
        return
    weights = luma.reshape((1, 3, 1, 1) if planar else (3, 1))
    graph.initializer.append(numpy_helper.from_array(weights, f"{grey}_weights"))
    for node in _readers(graph, name):
        node.input[:] = [grey if i == name else i for i in node.input]
    operator = "Conv" if planar else "MatMul"
    graph.node.insert(0, helper.make_node(operator, [name, f"{grey}_weights"], [grey], grey))


def _first_kernel(graph: Any, image: str, depth: int) -> Any:
    """The weights of the one convolution that reads the image and sees all its channels; None
    where something else reads it, or the weights have another reader."""
    readers = _readers(graph, image)
    if len(readers) == 1 and readers[0].op_type == "Transpose":
        readers = _readers(graph, readers[0].output[0])
    if len(readers) != 1 or readers[0].op_type != "Conv":
        return None
    name = readers[0].input[1]
    kernel = next((tensor for tensor in graph.initializer if tensor.name == name), None)
    if kernel is None or len(_readers(graph, name)) != 1:
        return None
    return kernel if kernel.dims[1] == depth else None  # one group: each filter sees all channels


def _readers(graph: Any, name: str) -> list[Any]:
    return [node for node in graph.node if name in node.input]
