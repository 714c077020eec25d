"""A float model in an .onnx file: check it, keep it as one file that takes RGB, run it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import MissingPackage, WeightsError
from edgekit.models.source import Channels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "model.onnx"
LIBRARIES = ("onnx", "onnxruntime")


def companions(path: Path) -> list[Path]:
    """The files beside an .onnx file that hold its weights.

    Raises:
        WeightsError: it is no ONNX file, or one of these files is missing or lies elsewhere.
    """
    onnx = _need("onnx", path)
    names: set[str] = set()
    # Private, and the only function that finds the tensors in attributes and subgraphs too.
    for tensor in onnx.external_data_helper._get_all_tensors(_parse(path)):
        if onnx.external_data_helper.uses_external_data(tensor):
            names |= {entry.value for entry in tensor.external_data if entry.key == "location"}
    files = [path.parent / name for name in sorted(names)]
    for file in files:
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise WeightsError(f"model.weights: {path} keeps weights in {file}, outside its folder")
        if not file.is_file():
            raise WeightsError(
                f"model.weights: {path} keeps its weights in {file.name}, which is not there",
                hint=f"copy {file.name} beside it, or export the model again into one file",
            )
    return files


def keep(path: Path, size: int, classes: int, channels: Channels, into: Path) -> tuple[str, int]:
    """Check an .onnx file and write it as one file that takes RGB images of size x size pixels.

    Returns:
        the name of the file, and how many numbers its weights are.

    Raises:
        WeightsError: it is no float model from one such image to a score for each class.
    """
    onnx = _need("onnx", path)
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf, the checker and the file system have no common base
        raise WeightsError(
            f"model.weights: {path} is not a valid ONNX file: {str(error).strip().splitlines()[0]}"
        ) from error
    value = _check_ends(model.graph, path)
    _fix_size(value, size, path)
    _check_weights(model.graph, path)
    if channels == "bgr":
        _swap_channels(model.graph, value)
    del model.graph.value_info[:]  # inferred from the shapes as they were
    onnx.save(model, into / FILE)
    _check_scores(into / FILE, size, classes, path)
    sizes = [math.prod(i.dims) for i in model.graph.initializer if i.data_type in _float_types()]
    return FILE, sum(sizes)


def opened(path: Path) -> Any:
    """A function from float32 images, NHWC, to scores (images, classes)."""
    import numpy as np

    onnxruntime = _need("onnxruntime", path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    planar = source.shape[1] == 3

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        planes = images.transpose(0, 3, 1, 2) if planar else images
        # One by one: most files are made for a batch of 1.
        rows = [session.run(None, {source.name: planes[i : i + 1]})[0] for i in range(len(planes))]
        return np.stack([row.reshape(-1) for row in rows])

    return run


def _need(module: str, path: Path) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackage(module, "onnxruntime", f"model.weights: {path.name}") from error


def _parse(path: Path) -> Any:
    """The file without the weights it keeps elsewhere."""
    onnx = _need("onnx", path)
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own, which has no public base
        raise WeightsError(f"model.weights: {path} is not an ONNX file") from error
    if not model.ir_version or not model.graph.node:  # protobuf reads anything short as empty
        raise WeightsError(f"model.weights: {path} is not an ONNX file: it holds no graph")
    return model


def _check_ends(graph: Any, path: Path) -> Any:
    """The one input of a graph with one output."""
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


def _fix_size(value: Any, size: int, path: Path) -> None:
    """Check that an input is one float32 image; set the height and width that it leaves open."""
    from onnx import TensorProto

    tensor = value.type.tensor_type
    what = f"model.weights: input {value.name} of {path}"
    if tensor.elem_type != TensorProto.FLOAT:
        kind = TensorProto.DataType.Name(tensor.elem_type)
        raise WeightsError(
            f"{what} is {kind}, FLOAT expected",
            hint="export the float32 model, whose pixels are normalised before it",
        )
    dims = tensor.shape.dim
    shape = [dim.dim_value or None for dim in dims]
    fixed = _fixed_shape(shape, size)
    if fixed is None:
        planar, last = _layouts(size)
        raise WeightsError(
            f"{what} has the shape {['?' if d is None else d for d in shape]}, {planar} or {last} "
            "expected",
            hint="set data.image_size to what the model was exported for, one image at a time",
        )
    for dim, number in zip(dims, fixed, strict=True):
        dim.dim_value = number


def _layouts(size: int) -> tuple[list[int], list[int]]:
    """The shapes of one RGB image: channels first, channels last."""
    return [1, 3, size, size], [1, size, size, 3]


def _fixed_shape(shape: list[int | None], size: int) -> list[int] | None:
    """The shape of one image that an input with open dimensions (None) can take; None for none."""
    # An open dimension fits both layouts: the three channels tell which.
    places = [axis for axis, length in enumerate(shape) if length == 3]
    for axis, layout in zip((1, 3), _layouts(size), strict=True):
        if places == [axis] and len(shape) == 4 and _fits(shape, layout):
            return layout
    return None


def _fits(shape: list[int | None], layout: list[int]) -> bool:
    return all(have in (None, want) for have, want in zip(shape, layout, strict=True))


def _check_weights(graph: Any, path: Path) -> None:
    """Refuse what is quantised already, and NaN."""
    import numpy as np
    from onnx import numpy_helper

    kinds = {node.op_type for node in graph.node}
    int8 = sorted(kinds & {"QuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger"})
    if int8:
        raise WeightsError(
            f"model.weights: {path} is quantised already: it holds {', '.join(int8)}",
            hint="give the float model it was made from",
        )
    floats = [tensor for tensor in graph.initializer if tensor.data_type in _float_types()]
    bad = [t.name for t in floats if not np.isfinite(numpy_helper.to_array(t)).all()]
    if bad:
        raise WeightsError(
            f"model.weights: {path}: {len(bad)} tensors hold NaN or infinity: {', '.join(bad[:5])}"
        )


def _float_types() -> set[int]:
    from onnx import TensorProto

    return {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE}


def _swap_channels(graph: Any, value: Any) -> None:
    """Let a graph that takes BGR take RGB.

    Where the image goes into one convolution and nothing else, its kernel is turned round, which
    costs nothing; elsewhere a Gather is put behind the input.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    kernel = _first_kernel(graph, value.name)
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


def _first_kernel(graph: Any, image: str) -> Any:
    """The weights of the one convolution that reads the image and sees its three channels; None
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
    return kernel if kernel.dims[1] == 3 else None  # one group: each filter sees all channels


def _readers(graph: Any, name: str) -> list[Any]:
    return [node for node in graph.node if name in node.input]


def _check_scores(kept: Path, size: int, classes: int, path: Path) -> None:
    import numpy as np

    try:
        scores = opened(kept)(np.zeros((1, size, size, 3), np.float32))
    except Exception as error:  # the exceptions of onnxruntime have no common base of their own
        raise WeightsError(
            f"model.weights: ONNX Runtime cannot run {path}: {str(error).strip().splitlines()[0]}",
            hint="export it with operators of ONNX's own",
        ) from error
    if scores.shape[1] != classes:
        raise WeightsError(
            f"model.weights: {path} gives {scores.shape[1]} scores, the data has {classes} classes",
            hint="use the data it was made for, in which every class has images",
        )
