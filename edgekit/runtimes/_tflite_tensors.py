"""What every operator of a .tflite file made, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import DeviceError
from edgekit.runtimes import _tflite as tflite
from edgekit.runtimes._litert_tools import library, need
from edgekit.runtimes.base import InputForm, batches, check_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CODES = {"int8", "uint8", "int16"}


def passed_on(model: Any) -> dict[str, int]:
    """Which tensor of the file stands for which of the float file, in the order they are made.

    A tensor that is quantised goes on as what its codes stand for.

    Returns:
        the name in the float file, and the position of the tensor here; constants, and float16
        weights unpacked at the start, are not among them.
    """
    graph, kinds, unpacked = model.subgraphs[0], tflite.kinds(model), tflite.unpacked(model)
    stands_for = {int(i): graph.tensors[i].name.decode() for i in graph.inputs}
    found = {name: i for i, name in stands_for.items()}
    for op, kind in zip(graph.operators, kinds, strict=True):
        if int(op.outputs[0]) in unpacked:
            continue
        if kind in ("QUANTIZE", "DEQUANTIZE"):
            before, after = int(op.inputs[0]), int(op.outputs[0])
            name = stands_for[before]
            stands_for[after] = name
            # Codes of a float tensor are what goes on; codes turned back are the same values.
            if tflite.dtype(graph.tensors[found[name]]) not in CODES:
                del found[name]
                found[name] = after
            continue
        for i in map(int, op.outputs):
            stands_for[i] = graph.tensors[i].name.decode()
            found[stands_for[i]] = i
    return found


def tensors(
    path: Path, form: InputForm, images: NDArray[np.uint8]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """See `Runtime.tensors`. Values are in LiteRT's layout, NHWC. LiteRT's own kernels compute
    them: XNNPACK keeps what happens inside its partitions to itself.

    Raises:
        DeviceError: an operator stops at one of the images, as an int8 DIV by zero does.
    """
    import numpy as np

    model = tflite.read(path)
    graph = model.subgraphs[0]
    with library(f"LiteRT cannot load {path}"):
        module = need("ai_edge_litert.interpreter")
        interpreter = module.Interpreter(
            str(path),
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    shown = {name: i for name, i in passed_on(model).items() if _has_values(graph.tensors[i])}
    source = tflite.input_index(model)
    check_size(path, tuple(map(int, graph.tensors[source].shape)), images)
    for number, image in enumerate(batches(images, form), start=1):
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
