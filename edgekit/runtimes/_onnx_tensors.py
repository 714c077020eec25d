"""What every node of an .onnx file made, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import DeviceError, EdgekitError
from edgekit.runtimes import _onnx_graph as graph
from edgekit.runtimes.base import InputForm, batches, check_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIX = "_DequantizeLinear_Output"
"""How ONNX Runtime's quantiser calls what it passes on for a tensor; NNCF's names begin otherwise,
and its pairs of quantisers are followed back instead."""
FLOATS = ("tensor(float)", "tensor(float16)")
NORMALISED = ("pixels", "scaled", "normalised")
"""What `bake` puts in front where normalisation costs operators; the last is the float image."""


def passed_on(model_graph: Any) -> dict[str, str]:
    """Which tensor of the file stands for which of the float file, in the order they are made.

    A tensor that is quantised goes on as what its codes stand for.

    Returns:
        the name in the float file, and the name of the tensor here; constants are not among them.
    """
    computed = {value.name for value in model_graph.input}
    computed -= {constant.name for constant in model_graph.initializer}
    maker: dict[str, Any] = {}
    found = {name: name for name in computed}
    for node in model_graph.node:
        if computed.isdisjoint(node.input):
            continue
        computed.update(node.output)
        maker |= dict.fromkeys(node.output, node)
        if node.op_type == graph.QDQ[0]:
            continue
        if node.op_type != graph.QDQ[1]:
            found |= {name: name for name in node.output if name}
            continue
        name = _stands_for(node, maker)
        if found.get(name, name) == name:  # else another branch has quantised it as well
            found.pop(name, None)
            found[name] = str(node.output[0])
    if NORMALISED[-1] in found:
        found[graph.INPUT] = found.pop(NORMALISED[-1])
    return {name: here for name, here in found.items() if name not in NORMALISED}


def _stands_for(dequantizer: Any, maker: dict[str, Any]) -> str:
    """The float tensor whose values a DequantizeLinear gives."""
    output, codes = str(dequantizer.output[0]), str(dequantizer.input[0])
    if output.endswith(SUFFIX):
        return output.removesuffix(SUFFIX)
    quantizer = maker.get(codes)
    is_pair = quantizer is not None and quantizer.op_type == graph.QDQ[0]
    return str(quantizer.input[0]) if quantizer is not None and is_pair else codes


def tensors(
    path: Path, form: InputForm, images: NDArray[np.uint8]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """See `Runtime.tensors`. The graph runs as it is written: nothing is fused, and codes are
    turned back into real values at every DequantizeLinear."""
    import numpy as np
    import onnx
    import onnxruntime

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's, of which onnx does not tell the kinds
        raise EdgekitError(f"{path} is not an ONNX model: {error}") from error
    wanted = passed_on(model.graph)
    given = {value.name for value in model.graph.output}
    fed = {value.name for value in model.graph.input}
    for name in {*wanted.values()} - given - fed:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the library's exceptions have no common base of their own
        raise EdgekitError(f"ONNX Runtime cannot load {path}: {error}") from error
    source = session.get_inputs()[0]
    check_size(path, tuple(source.shape), images)
    floats = [o.name for o in session.get_outputs() if o.type in FLOATS]
    shown = {name: here for name, here in wanted.items() if here in floats}
    for number, image in enumerate(batches(images, form), start=1):
        try:
            values = session.run(floats, {source.name: image})
        except Exception as error:
            raise DeviceError(f"{path} stops at image {number}: {error}") from error
        by_name = dict(zip(floats, values, strict=True))
        made = {name: np.asarray(by_name[here], np.float32) for name, here in shown.items()}
        if image.dtype == np.float32 and source.name in wanted.values():
            made = {source.name: image, **made}  # fed, and not quantised before it is read
        yield made
