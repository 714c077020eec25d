"""What every operator of a .tflite file makes, and made of each image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import DeviceError
from edgekit.runtimes import _tflite as tflite
from edgekit.runtimes._litert_tools import library, need
from edgekit.runtimes._tflite_describe import layer
from edgekit.runtimes.contract.description import Activation
from edgekit.runtimes.contract.input_form import InputForm, fed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CODES = {"int8", "uint8", "int16"}
CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}


def passed_on(model: Any) -> dict[str, int]:
    """Which tensor of the file stands for which of the float file, in the order they are made.

    A tensor that is quantised goes on as what its codes stand for.

    Returns:
        the name in the float file, and the position of the tensor here; constants, and float16
        weights unpacked at the start, are not among them.
    """
    graph = model.subgraphs[0]
    found: dict[str, int] = {}
    for i, name in names(model).items():
        # Codes of a float tensor are what goes on; codes turned back are the same values.
        if name not in found or tflite.dtype(graph.tensors[found[name]]) not in CODES:
            found.pop(name, None)
            found[name] = i
    return found


def names(model: Any) -> dict[int, str]:
    """What each tensor that depends on the image is called in the float file, in the order they
    are made; what QUANTIZE and DEQUANTIZE make is called as what they read."""
    graph, unpacked = model.subgraphs[0], tflite.unpacked(model)
    found = {int(i): graph.tensors[i].name.decode() for i in graph.inputs}
    for op, kind in zip(graph.operators, tflite.kinds(model), strict=True):
        if found.keys().isdisjoint(map(int, op.inputs)) or int(op.outputs[0]) in unpacked:
            continue
        for i in map(int, op.outputs):
            own = graph.tensors[i].name.decode()
            found[i] = found[int(op.inputs[0])] if kind in CONVERSIONS else own
    return found


def activations(path: Path) -> tuple[Activation, ...]:
    """See `Reader.activations`."""
    model = tflite.read(path)
    graph, called, kinds = model.subgraphs[0], names(model), tflite.kinds(model)
    makers = {
        called[int(i)]: (op, kind)
        for op, kind in zip(graph.operators, kinds, strict=True)
        for i in op.outputs
        if kind not in CONVERSIONS and int(i) in called
    }
    found = []
    for name, here in passed_on(model).items():
        grid = _codes(graph.tensors[here])
        if name not in makers or called.get(int(graph.inputs[0])) == name:
            where = {"operator": "", "layer": name, "kind": "input"}
            found.append(Activation(name=name, inputs=(), has_weights=False, **where, **grid))
            continue
        op, kind = makers[name]
        made = Activation(
            name=name,
            operator=tflite.name(graph, op),
            layer=layer(name),
            kind=kind,
            inputs=tuple(dict.fromkeys(called[int(i)] for i in op.inputs if int(i) in called)),
            has_weights=tflite.has_weights(op, kind, called),
            **grid,
        )
        found.append(made)
    return tuple(found)


def weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """See `Reader.weights`."""
    model = tflite.read(path)
    graph, called, unpacked = model.subgraphs[0], names(model), tflite.unpacked(model)
    interpreter, found = _interpreter(path), {}
    for op, kind in zip(graph.operators, tflite.kinds(model), strict=True):
        if tflite.has_weights(op, kind, called):
            i = unpacked.get(int(op.inputs[1]), int(op.inputs[1]))
            found[tflite.name(graph, op)] = _stored(interpreter.get_tensor(i), graph.tensors[i])
    return found


def _stored(values: Any, tensor: Any) -> Any:
    """What a stored tensor stands for, with one scale or one for each channel."""
    import numpy as np

    codes = tensor.quantization
    if values.dtype.kind == "f" or codes is None or codes.scale is None:
        return values.astype(np.float32)
    shape = [1] * values.ndim
    shape[int(codes.quantizedDimension)] = len(codes.scale)
    scale, zero = (np.reshape(each, shape) for each in (codes.scale, codes.zeroPoint))
    return (scale * (values.astype(np.float32) - zero)).astype(np.float32)


def _interpreter(path: Path) -> Any:
    with library(f"LiteRT cannot load {path}"):
        module = need("ai_edge_litert.interpreter")
        interpreter = module.Interpreter(
            str(path),
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    return interpreter


def _codes(tensor: Any) -> dict[str, float]:
    """The numbers that the codes of a tensor stand for; empty for one that has none."""
    grid = _grid(tensor)
    if grid is None:
        return {}
    bits, signed = (16 if tflite.dtype(tensor) == "int16" else 8), tflite.dtype(tensor)[0] == "i"
    lowest = -(2 ** (bits - 1)) if signed else 0
    scale, zero_point = grid
    ends = [scale * (code - zero_point) for code in (lowest, lowest + 2**bits - 1)]
    return {"low": ends[0], "high": ends[1], "step": scale}


def tensors(
    path: Path, form: InputForm, images: NDArray[np.uint8]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """See `Reader.tensors`. Values are in LiteRT's layout, NHWC. LiteRT's own kernels compute
    them: XNNPACK keeps what happens inside its partitions to itself.

    Raises:
        DeviceError: an operator stops at one of the images, as an int8 DIV by zero does.
    """
    import numpy as np

    model = tflite.read(path)
    graph = model.subgraphs[0]
    interpreter = _interpreter(path)
    shown = {name: i for name, i in passed_on(model).items() if _has_values(graph.tensors[i])}
    source = tflite.input_index(model)
    feed = fed(path, tuple(map(int, graph.tensors[source].shape)), images, form)
    for number, image in enumerate(feed, start=1):
        with library(f"{path} stops at image {number}", DeviceError):
            interpreter.set_tensor(source, image)
            interpreter.invoke()
        yield {
            name: _real(interpreter.get_tensor(i), graph.tensors[i], np)
            for name, i in shown.items()
        }


def _grid(tensor: Any) -> tuple[float, int] | None:
    """Scale and zero point of an activation, which has one of each."""
    codes = tensor.quantization
    if tflite.dtype(tensor) not in CODES or codes is None or codes.scale is None:
        return None
    return float(codes.scale[0]), int(codes.zeroPoint[0])


def _has_values(tensor: Any) -> bool:
    return tflite.dtype(tensor) in ("float32", "float16") or _grid(tensor) is not None


def _real(values: Any, tensor: Any, np: Any) -> Any:
    grid = _grid(tensor)
    if grid is None:
        return values.astype(np.float32)
    return np.float32(grid[0]) * (values.astype(np.float32) - grid[1])
