"""Change a .tflite file: give it another input or output, append files, write it.

The file is a flatbuffer. Labels go into a ZIP archive appended to it, where the TFLite metadata
standard keeps a model's files: interpreters ignore it, `zipfile` reads it.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.runtimes._litert_tools import library, need
from edgekit.runtimes._tflite import dtype, input_index, kinds, producers
from edgekit.runtimes.contract.input_form import InputForm, PixelGrid


def write(model: Any, target: Path) -> None:
    """Pack the objects; the generated code alone would forget the schema's `force_align: 16`."""
    schema = need("ai_edge_litert.schema_py_generated")

    class Aligned(schema.BufferT):  # type: ignore[misc,name-defined]
        data: Any

        def Pack(self, builder: Any) -> Any:
            if self.data is not None:
                self.data = np.frombuffer(self.data, np.uint8)  # other types go byte by byte
                builder.Prep(16, len(self.data))
            return super().Pack(builder)

    model.buffers = [Aligned(buffer.data) for buffer in model.buffers]
    with library(f"{target} cannot be written"):
        need("ai_edge_litert.tools.flatbuffer_utils").write_model(model, str(target))


def retype_input(model: Any, grid: PixelGrid) -> bool:
    """Make the input uint8 where it is only quantised, to the pixel grid; else change nothing.

    The QUANTIZE behind it then maps uint8 to int8: the same scale, the zero point less 128.
    """
    graph, here = model.subgraphs[0], input_index(model)
    for op, kind in zip(graph.operators, kinds(model), strict=True):
        if here not in op.inputs:
            continue
        codes = graph.tensors[op.outputs[0]].quantization
        if kind != "QUANTIZE" or codes.scale[0] != np.float32(grid.scale):
            return False
        if codes.zeroPoint[0] != grid.zero_point - 128:
            return False
    schema = need("ai_edge_litert.schema_py_generated")
    pixels = graph.tensors[here]
    pixels.type = schema.TensorType.UINT8
    pixels.quantization = schema.QuantizationParametersT()
    pixels.quantization.scale = [grid.scale]
    pixels.quantization.zeroPoint = [grid.zero_point]
    return True


def quantised_output(model: Any) -> str | None:
    """Drop the DEQUANTIZE at the end, so that the scores leave as the codes they are.

    Returns:
        None where that is done; else the kind of the operator that makes float scores.
    """
    graph = model.subgraphs[0]
    last = producers(graph)[int(graph.outputs[0])]
    kind, codes = kinds(model)[last], int(graph.operators[last].inputs[0])
    if kind != "DEQUANTIZE" or dtype(graph.tensors[codes]) not in ("int8", "uint8"):
        return kind
    del graph.operators[last]
    graph.outputs = [codes]
    model.signatureDefs[0].outputs[0].tensorIndex = codes
    return None


def normalize_in_front(model: Any, form: InputForm) -> None:
    """Put CAST, MUL, ADD before the graph: float32(pixel) / (255 std) - mean / std."""
    schema = need("ai_edge_litert.schema_py_generated")
    graph, normal = model.subgraphs[0], input_index(model)
    types, shape = schema.TensorType, graph.tensors[normal].shape

    def tensor(name: str, kind: int, dims: Any, data: Any = None) -> int:
        made, buffer = schema.TensorT(), schema.BufferT()
        made.name, made.type, made.shape, made.buffer = name, kind, dims, len(model.buffers)
        if data is not None:
            buffer.data = np.float32(data).tobytes()
        model.buffers.append(buffer)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def operator(kind: str, options: str, inputs: list[int], output: int) -> Any:
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version = 1
        model.operatorCodes.append(code)
        made.opcodeIndex, made.inputs, made.outputs = len(model.operatorCodes) - 1, inputs, [output]
        made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        made.builtinOptions = getattr(schema, f"{options}T")()
        return made

    mean, std = np.array(form.mean), np.array(form.std)
    pixels = tensor("pixels", types.UINT8, shape)
    real, scaled = tensor("real", types.FLOAT32, shape), tensor("scaled", types.FLOAT32, shape)
    factor = tensor("factor", types.FLOAT32, [3], 1 / (255 * std))
    offset = tensor("offset", types.FLOAT32, [3], -mean / std)
    graph.operators[:0] = [
        operator("CAST", "CastOptions", [pixels], real),
        operator("MUL", "MulOptions", [real, factor], scaled),
        operator("ADD", "AddOptions", [scaled, offset], normal),
    ]
    graph.inputs = [pixels]
    model.signatureDefs[0].inputs[0].tensorIndex = pixels


def scores_of(model: Any) -> dict[str, Any]:
    """What the output holds: its dtype and, of codes, real = scale * (code - zero_point)."""
    graph = model.subgraphs[0]
    tensor = graph.tensors[graph.outputs[0]]
    facts: dict[str, Any] = {"dtype": dtype(tensor)}
    if facts["dtype"] != "float32":
        facts["scale"] = float(tensor.quantization.scale[0])
        facts["zero_point"] = int(tensor.quantization.zeroPoint[0])
    return facts


def append_files(target: Path, facts: dict[str, Any], labels: tuple[str, ...]) -> None:
    """Append labels.txt and edgekit.json as a ZIP archive, the same bytes every time."""
    with zipfile.ZipFile(target, "a") as archive:
        # A ZipInfo made by hand carries 1980-01-01, not the time of the build.
        archive.writestr(zipfile.ZipInfo("labels.txt"), "".join(f"{x}\n" for x in labels))
        archive.writestr(zipfile.ZipInfo("edgekit.json"), json.dumps(facts, indent=2))
