"""Let a .tflite file whose input is int8 take floats: a QUANTIZE in front, where an app that feeds
it would do the same arithmetic. All files are then fed the same array."""

from __future__ import annotations

from pathlib import Path

from edgekit.runtimes import _tflite as tflite
from edgekit.runtimes import _tflite_edit as edit


def take_floats(path: Path) -> None:
    """Change the file in place; the float input has the int8 input's scale and zero point."""
    from ai_edge_litert import schema_py_generated as schema

    model = tflite.read(path)
    graph, codes = model.subgraphs[0], tflite.input_index(model)
    pixels, buffer = schema.TensorT(), schema.BufferT()
    pixels.name, pixels.type = "pixels", schema.TensorType.FLOAT32
    pixels.shape, pixels.buffer = graph.tensors[codes].shape, len(model.buffers)
    model.buffers.append(buffer)
    graph.tensors.append(pixels)
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 1
    model.operatorCodes.append(code)
    here = len(graph.tensors) - 1
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [here], [codes]
    operator.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
    operator.builtinOptions = schema.QuantizeOptionsT()
    graph.operators.insert(0, operator)
    graph.inputs = [here]
    model.signatureDefs[0].inputs[0].tensorIndex = here
    edit.write(model, path)
