"""A single layer as a .tflite file, to be timed.

    image uint8 [1, 1, 1, 1] -> QUANTIZE (or CAST) -> PAD to [1, H, W, Cin] -> the layer -> SLICE

Padding makes the layer's input in the cache, where the layer before it would have left it, and
only one value leaves; so that what is timed is the layer and not the copying of its input.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.runtimes import _tflite_edit as edit
from edgekit.runtimes._litert_tools import need
from edgekit.runtimes.contract.microbenchmark import Layer

SCALE = 1 / 64
"""Of all codes: any will do, since no value decides how long a layer takes."""
CONVOLUTION = {"conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D"}
OPTIONS = {
    "QUANTIZE": "QuantizeOptions",
    "CAST": "CastOptions",
    "PAD": "PadOptions",
    "SLICE": "SliceOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
}
VERSIONS = {"PAD": 2, "SLICE": 2, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3}
"""The first versions of the operators that take int8."""


def write(layer: Layer, integer: bool, target: Path) -> None:
    """Write a model of a layer; `integer` for int8 activations and int8 weights per channel."""
    import numpy as np

    graph = _LayerModel(integer)
    image = graph.tensor("image", (1, 1, 1, 1), "UINT8", scales=[SCALE], zero_point=128)
    small = graph.activations("small", (1, 1, 1, 1))
    graph.operator("QUANTIZE" if integer else "CAST", [image], small)
    shape = (layer.height, layer.width, layer.cin)
    pads = np.array([[0, 0], *([0, size - 1] for size in shape)], np.int32)
    value = graph.activations("input", (1, *shape))
    graph.operator("PAD", [small, graph.tensor("pads", pads.shape, "INT32", pads)], value)
    if layer.kind != "frame":
        value = _layer(graph, layer, value)
    code = graph.activations("code", (1, 1, 1, 1))
    ends = [
        graph.tensor(name, (4,), "INT32", np.full(4, n, np.int32))
        for name, n in (("begin", 0), ("size", 1))
    ]
    graph.operator("SLICE", [value, *ends], code)
    edit.write(graph.model([image], [code]), target)


def _layer(graph: _LayerModel, layer: Layer, value: int) -> int:
    import numpy as np

    depthwise = layer.kind == "depthwise"
    shape = (layer.cout, layer.kernel, layer.kernel, layer.cin)
    if depthwise:
        shape = (1, layer.kernel, layer.kernel, layer.cout)
    codes = np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)
    axis = 3 if depthwise else 0
    weights = graph.weights("weights", codes, SCALE, axis)
    bias = graph.weights("bias", np.zeros(layer.cout, np.int32), SCALE * SCALE, 0)
    height, width = (-(-size // layer.stride) for size in (layer.height, layer.width))
    output = graph.activations("output", (1, height, width, layer.cout))
    options: dict[str, Any] = {"strideH": layer.stride, "strideW": layer.stride, "padding": 0}
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}
    if depthwise:
        options["depthMultiplier"] = 1
    graph.operator(CONVOLUTION[layer.kind], [value, weights, bias], output, options)
    return output


class _LayerModel:
    """A model of one subgraph, as the objects of the generated schema."""

    def __init__(self, integer: bool) -> None:
        self.schema = need("ai_edge_litert.schema_py_generated")
        self.integer = integer
        self.graph = self.schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.codes: list[Any] = []
        self.buffers = [self.schema.BufferT()]  # the first one is empty by convention

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        kind: str,
        data: Any = None,
        scales: list[float] | None = None,
        zero_point: int = 0,
        axis: int = 0,
    ) -> int:
        made = self.schema.TensorT()
        made.name, made.shape = name, list(shape)
        made.type = getattr(self.schema.TensorType, kind)
        made.buffer = 0
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = data.tobytes()
            made.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if scales and (self.integer or kind != "UINT8"):
            made.quantization = self.schema.QuantizationParametersT()
            made.quantization.scale = scales
            made.quantization.zeroPoint = [zero_point] * len(scales)
            made.quantization.quantizedDimension = axis
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def activations(self, name: str, shape: tuple[int, ...]) -> int:
        if self.integer:
            return self.tensor(name, shape, "INT8", scales=[SCALE])
        return self.tensor(name, shape, "FLOAT32")

    def weights(self, name: str, codes: Any, scale: float, axis: int) -> int:
        import numpy as np

        if not self.integer:
            return self.tensor(name, codes.shape, "FLOAT32", np.float32(codes) * np.float32(SCALE))
        scales = [scale] * codes.shape[axis]
        kind = codes.dtype.name.upper()
        return self.tensor(name, codes.shape, kind, codes, scales=scales, axis=axis)

    def operator(
        self, kind: str, inputs: list[int], output: int, options: dict[str, Any] | None = None
    ) -> None:
        code, made = self.schema.OperatorCodeT(), self.schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(self.schema.BuiltinOperator, kind)
        code.version = VERSIONS.get(kind, 1)
        made.opcodeIndex, made.inputs, made.outputs = len(self.codes), inputs, [output]
        self.codes.append(code)
        made.builtinOptionsType = getattr(self.schema.BuiltinOptions, OPTIONS[kind])
        made.builtinOptions = getattr(self.schema, f"{OPTIONS[kind]}T")()
        for key, value in (options or {}).items():
            setattr(made.builtinOptions, key, value)
        self.graph.operators.append(made)

    def model(self, inputs: list[int], outputs: list[int]) -> Any:
        self.graph.inputs, self.graph.outputs = inputs, outputs
        model = self.schema.ModelT()
        model.version, model.description = 3, "probe"
        model.operatorCodes, model.buffers = self.codes, self.buffers
        model.subgraphs = [self.graph]
        signature = self.schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs = [self._named("image", inputs[0])]
        signature.outputs = [self._named("code", outputs[0])]
        model.signatureDefs = [signature]
        return model

    def _named(self, name: str, tensor: int) -> Any:
        made = self.schema.TensorMapT()
        made.name, made.tensorIndex = name, tensor
        return made
