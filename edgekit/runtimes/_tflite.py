"""A .tflite file as objects: read it, name its operators, count their work, find the fragile."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.runtimes._litert_tools import library, need

LAYERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
"""Operators with weights, always the second operand; but a FULLY_CONNECTED may also multiply two
computed tensors, as attention does."""
HEAVY = LAYERS | {"BATCH_MATMUL"}
NEEDS_COMPUTED = {"CONCATENATION", "SELECT", "SELECT_V2"}
"""Operators that ai-edge-quantizer takes only where none of their operands is stored."""
SCOPE_LENGTH = 10_000
"""ai-edge-quantizer compares no more of a name than this."""


def read(path: Path) -> Any:
    """The flatbuffer of a model as objects.

    Raises:
        EdgekitError: the file is no LiteRT model, or is damaged.
    """
    with path.open("rb") as stream:
        if stream.read(8)[4:] != b"TFL3":
            raise EdgekitError(f"{path} is not a LiteRT model")
    with library(f"{path} cannot be read", hint="is it whole? copy it again"):
        return need("ai_edge_litert.tools.flatbuffer_utils").read_model(str(path))


def input_index(model: Any) -> int:
    """The tensor that the image goes into: a file may have no signature that names it."""
    signatures = model.signatureDefs
    return int(signatures[0].inputs[0].tensorIndex if signatures else model.subgraphs[0].inputs[0])


def output_index(model: Any) -> int:
    signatures = model.signatureDefs
    return int(
        signatures[0].outputs[0].tensorIndex if signatures else model.subgraphs[0].outputs[0]
    )


def input_name(model: Any) -> str:
    return str(model.subgraphs[0].tensors[input_index(model)].name.decode())


def kinds(model: Any) -> list[str]:
    tools = need("ai_edge_litert.tools.flatbuffer_utils")
    return [tools.opcode_to_name(model, op.opcodeIndex) for op in model.subgraphs[0].operators]


def dtype(tensor: Any) -> str:
    tools = need("ai_edge_litert.tools.flatbuffer_utils")
    return str(tools.type_to_name(tensor.type)).lower()


def name(graph: Any, op: Any) -> str:
    """An operator is called by the first tensor it writes, which no other operator writes."""
    return str(graph.tensors[op.outputs[0]].name.decode())


def scope(graph: Any, op: Any) -> str:
    """What ai-edge-quantizer matches a recipe's regular expression against."""
    names = [graph.tensors[i].name.decode() for i in op.outputs]
    return "".join(f"{n};" for n in names)[:SCOPE_LENGTH]


def producers(graph: Any) -> dict[int, int]:
    """For each computed tensor the position of the operator that writes it."""
    return {int(t): i for i, op in enumerate(graph.operators) for t in op.outputs}


def has_weights(op: Any, kind: str, computed: Collection[int]) -> bool:
    """Whether an operator is a layer, with weights that are in the file."""
    return kind in LAYERS and op.inputs[1] not in computed


def float_ops(model: Any) -> list[int]:
    """Positions of the operators of linear attention, in the order they run.

    A DIV whose denominator is computed is its normaliser. From there they reach back to the
    convolutions that make Q, K and V, which are not among them.
    """
    graph, names = model.subgraphs[0], kinds(model)
    made_by, found = producers(graph), set()
    waiting = [
        i for i, op in enumerate(graph.operators) if names[i] == "DIV" and op.inputs[1] in made_by
    ]
    while waiting:
        here = waiting.pop()
        op = graph.operators[here]
        if here in found or has_weights(op, names[here], made_by):
            continue
        found.add(here)
        waiting += [made_by[t] for t in op.inputs if t in made_by]
    return sorted(found)


def beyond_int8(model: Any) -> list[int]:
    """Positions of the operators that ai-edge-quantizer cannot quantise whatever their range, by
    rule. None of them has weights.

    - PADV2 with a constant that is not finite, how a padded max pooling begins, and what reads it:
      a range with minus infinity in it has no scale.
    - CONCATENATION or SELECT with a stored operand, such as the class token of a ViT or the mask of
      an adaptive pooling: the quantizer gives the operand a scale of another rank, and stops.
    """
    graph, names = model.subgraphs[0], kinds(model)
    computed = {*producers(graph), *(int(t) for t in graph.inputs)}
    found, endless = set(), set()
    for i, op in enumerate(graph.operators):
        if names[i] in NEEDS_COMPUTED and not computed.issuperset(map(int, op.inputs)):
            found.add(i)
        if names[i] == "PADV2" and _pads_with_no_number(model, op, computed):
            found.add(i)
            endless.add(int(op.outputs[0]))
    readers = {i for i, op in enumerate(graph.operators) if endless & {int(t) for t in op.inputs}}
    return sorted(found | readers)


def _pads_with_no_number(model: Any, op: Any, computed: set[int]) -> bool:
    """Whether the constant that a PADV2 pads with is stored, and not finite."""
    import numpy as np

    if len(op.inputs) < 3 or op.inputs[2] in computed:
        return False
    data = model.buffers[model.subgraphs[0].tensors[op.inputs[2]].buffer].data
    return not np.isfinite(np.frombuffer(bytes(data), np.float32)).all()


def unpacked(model: Any) -> dict[int, int]:
    """Tensors that are a stored tensor in another type: float16 weights, read as float32.

    The DEQUANTIZE between them runs once, when the model is loaded.
    """
    graph, made_by = model.subgraphs[0], producers(model.subgraphs[0])
    return {
        int(op.outputs[0]): int(op.inputs[0])
        for op, kind in zip(graph.operators, kinds(model), strict=True)
        if kind == "DEQUANTIZE" and op.inputs[0] not in {*made_by, *graph.inputs}
    }


def macs(graph: Any, op: Any, kind: str) -> int:
    """Multiply-accumulates of a heavy operator, from the shapes of its tensors; else 0."""

    def shape(index: int) -> list[int]:
        return [int(size) for size in graph.tensors[index].shape]

    if kind not in HEAVY:
        return 0
    out, second = shape(op.outputs[0]), shape(op.inputs[1])
    if kind == "DEPTHWISE_CONV_2D":  # weights [1, height, width, channels]
        return math.prod(out) * math.prod(second[:-1])
    if kind == "TRANSPOSE_CONV":  # weights [out, height, width, in], of each input value
        return math.prod(shape(op.inputs[2])) * math.prod(second[:-1])
    if kind == "BATCH_MATMUL":
        first = shape(op.inputs[0])
        return math.prod(out) * first[-2 if op.builtinOptions.adjX else -1]
    return math.prod(out) * math.prod(second[1:])  # weights [out, height, width, in of a group]
