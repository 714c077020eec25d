"""A single layer as an .onnx file, to be timed.

    image uint8 [1, 1, 1, 1] -> Pad to [1, H, W, Cin] -> the layer -> Slice to [1, 1, 1, 1]

Padding makes the layer's input in the cache, where the layer before it would have left it, and
only one value leaves; so that what is timed is the layer and not the copying of its input.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.runtimes.contract.microbenchmark import Layer

SCALE = 1 / 64
"""Of all codes: any will do, since no value decides how long a layer takes."""


def write(layer: Layer, integer: bool, target: Path, float_frame: bool = False) -> None:
    """Write a layer; `integer` for uint8 activations and int8 weights per channel, as QDQ.

    Args:
        float_frame: pad and cut in float, and quantise in between: OpenVINO takes a convolution for
            an integer one only where it sees its input quantised.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = _LayerGraph()
    shape = (layer.height, layer.width, layer.cin)
    value = "image"
    in_float = float_frame or not integer
    if in_float:
        value = graph.add("Cast", [value], to=TensorProto.FLOAT)
    pads = [0, 0, 0, 0, 0, *(size - 1 for size in shape)]
    value = graph.add("Pad", [value, graph.integers("pads", pads)], mode="constant")
    # The runtimes move these out of the way, as they do with those at the ends of a whole network.
    value = graph.add("Transpose", [value], perm=[0, 3, 1, 2])
    if in_float and integer:
        value = graph.add("QuantizeLinear", [value, *graph.grid()])
    if layer.kind != "frame":
        value = _layer(graph, layer, integer, value)
    if in_float and integer:
        value = graph.add("DequantizeLinear", [value, *graph.grid()])
    value = graph.add("Transpose", [value], perm=[0, 2, 3, 1])
    ends = [graph.integers(name, [n] * 4) for name, n in (("starts", 0), ("ends", 1))]
    graph.add("Slice", [value, *ends], output="code")
    kind = TensorProto.FLOAT if in_float else TensorProto.UINT8
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "probe",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 1, 1, 1])],
            [helper.make_tensor_value_info("code", kind, [1, 1, 1, 1])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, target)


def _layer(graph: _LayerGraph, layer: Layer, integer: bool, value: str) -> str:
    if integer:
        value = graph.add("DequantizeLinear", [value, *graph.grid()])
    value = graph.add(
        "Conv",
        [value, graph.weights(layer, integer), graph.bias(layer, integer)],
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        group=layer.cin if layer.kind == "depthwise" else 1,
        auto_pad="SAME_UPPER",
    )
    return graph.add("QuantizeLinear", [value, *graph.grid()]) if integer else value


class _LayerGraph:
    """Nodes and constants, each with a name of its own."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        name = f"{name}_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def integers(self, name: str, values: list[int]) -> str:
        import numpy as np

        return self.constant(name, np.array(values, np.int64))

    def grid(self) -> list[str]:
        """Scale and zero point of activations, as behind a ReLU: from 0 up. OpenVINO computes in
        float where codes stand for negative values as well."""
        import numpy as np

        scale = self.constant("scale", np.array(SCALE, np.float32))
        return [scale, self.constant("zero", np.array(0, np.uint8))]

    def weights(self, layer: Layer, integer: bool) -> str:
        import numpy as np

        inputs = 1 if layer.kind == "depthwise" else layer.cin
        shape = (layer.cout, inputs, layer.kernel, layer.kernel)
        codes = np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)
        if not integer:
            return self.constant("weights", codes.astype(np.float32) * SCALE)
        return self._per_channel("weights", codes, SCALE)

    def bias(self, layer: Layer, integer: bool) -> str:
        import numpy as np

        if not integer:
            return self.constant("bias", np.zeros(layer.cout, np.float32))
        return self._per_channel("bias", np.zeros(layer.cout, np.int32), SCALE * SCALE)

    def _per_channel(self, name: str, codes: Any, scale: float) -> str:
        import numpy as np

        scales = self.constant(f"{name}_scale", np.full(len(codes), scale, np.float32))
        zeros = self.constant(f"{name}_zero", np.zeros(len(codes), codes.dtype))
        inputs = [self.constant(name, codes), scales, zeros]
        return self.add("DequantizeLinear", inputs, axis=0)
