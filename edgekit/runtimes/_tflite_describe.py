"""What is inside a .tflite file, and which of it XNNPACK takes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgekit.runtimes import _tflite as tflite
from edgekit.runtimes._litert_tools import library, need
from edgekit.runtimes.contract.description import Description, Operator, Port, Work, only

PRECISIONS = ("float16", "float32", "uint8", "int8", "int16", "int32", "int64")
"""The first of an operator's operand types is that of its arithmetic: one float operand makes it
a float operator, float16 weights one that may run in float16; beside int8, the wide integers are
biases, shapes and axes."""
CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}
MAX_TAPS = 25
"""XNNPACK's int8 kernels for depthwise convolutions go to 5 x 5. It computes larger ones channel by
channel as matrix products, which takes a multiple of the time in float."""
CODES = ("int8", "uint8", "int16")
BYTES = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "float16": 2, "int64": 8}


def describe(path: Path) -> Description:
    """Read a model file back.

    A delegate can be told to take each operator by itself; the tensors that its nodes write
    then tell which operators it took, so `outside_delegate` is observed, not guessed.
    """
    model = tflite.read(path)
    graph = model.subgraphs[0]
    only([graph.tensors[i].name.decode() for i in graph.inputs], path)
    kinds, unpacked = tflite.kinds(model), tflite.unpacked(model)
    taken = _delegated(path, len(graph.operators))
    running = [
        (op, kind)
        for op, kind in zip(graph.operators, kinds, strict=True)
        if op.outputs[0] not in unpacked
    ]
    computed = {*tflite.producers(graph), *map(int, graph.inputs)} - {*unpacked}
    outside = [op.outputs[0] not in taken for op, _ in running]
    operators = [
        _operator(graph, op, kind, unpacked, computed).model_copy(
            update={"is_suspect": left or _taps(graph, op, kind) > MAX_TAPS}
        )
        for (op, kind), left in zip(running, outside, strict=True)
    ]

    def names(chosen: list[bool]) -> tuple[str, ...]:
        return tuple(
            f"{o.kind} {o.name}" for o, here in zip(operators, chosen, strict=True) if here
        )

    ends = {*graph.inputs, *graph.outputs}
    return Description(
        input=_port(model, tflite.input_index(model)),
        output=_port(model, tflite.output_index(model)),
        operators=tuple(operators),
        per_channel=_per_channel(graph, running),
        outside_delegate=names(outside),
        conversions=names(
            [kind in CONVERSIONS and not ends & {*op.inputs, *op.outputs} for op, kind in running]
        ),
        transposes=names([kind == "TRANSPOSE" for _, kind in running]),
    )


def _delegated(path: Path, operators: int) -> set[int]:
    """The tensors that XNNPACK's nodes write; they come after the file's own operators."""
    with library(f"LiteRT cannot load {path}"):
        interpreter = need("ai_edge_litert.interpreter").Interpreter(
            str(path), experimental_disable_delegate_node_fusion=True
        )
        interpreter.allocate_tensors()
        nodes = interpreter._get_ops_details()[operators:]
    return {int(tensor) for node in nodes for tensor in node["outputs"]}


def _operator(
    graph: Any, op: Any, kind: str, unpacked: dict[int, int], computed: set[int]
) -> Operator:
    read = [int(i) for i in op.inputs if i >= 0]  # -1 stands for an operand that is left out
    stored = [unpacked.get(i, i) for i in read if i not in computed]
    flows = [*(i for i in read if i in computed), *map(int, op.outputs)]
    is_heavy = kind in tflite.HEAVY
    first = tflite.dtype(graph.tensors[op.inputs[0]]) if is_heavy else ""
    return Operator(
        name=layer(tflite.name(graph, op)),
        kind=kind,
        written=tflite.name(graph, op),
        precision=_precision(graph, [unpacked.get(i, i) for i in read]),
        stored=tflite.dtype(graph.tensors[unpacked.get(op.inputs[1], op.inputs[1])])
        if tflite.has_weights(op, kind, computed - {*unpacked})
        else "",
        reads=first if first in CODES else "",
        heavy=is_heavy,
        macs=tflite.macs(graph, op, kind),
        work=_work(graph, op, kind, computed) if is_heavy else None,
        weights=_bytes(graph, stored),
        moved=_bytes(graph, flows),
    )


def _precision(graph: Any, operands: list[int]) -> str:
    """Of an operator's arithmetic, from the types of what it reads."""
    types = {tflite.dtype(graph.tensors[i]) for i in operands}
    if {"int8", "int16"} <= types:
        return "int16x8"
    return next((p for p in PRECISIONS if p in types), "none")


def _work(graph: Any, op: Any, kind: str, computed: set[int]) -> Work:
    if kind == "DEPTHWISE_CONV_2D":
        return "depthwise"
    if op.inputs[1] in computed:
        return "product"
    # Weights of a convolution are [out, height, width, in].
    shape = [int(size) for size in graph.tensors[op.inputs[1]].shape]
    return "conv" if len(shape) == 4 and math.prod(shape[1:3]) > 1 else "dense"


def _taps(graph: Any, op: Any, kind: str) -> int:
    """Weights of a channel of a depthwise convolution, [1, height, width, channels]; else 0."""
    depthwise = kind == "DEPTHWISE_CONV_2D"
    return math.prod(map(int, graph.tensors[op.inputs[1]].shape[1:3])) if depthwise else 0


def _bytes(graph: Any, tensors: list[int]) -> int:
    """Of some tensors together."""
    total = 0
    for tensor in (graph.tensors[i] for i in tensors):
        shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
        total += math.prod(shape) * BYTES.get(tflite.dtype(tensor), 4)
    return total


def _per_channel(graph: Any, operators: list[tuple[Any, str]]) -> bool:
    """Whether every quantised weight has one scale for each output channel."""
    computed, found = tflite.producers(graph), []
    for op, kind in operators:
        if tflite.has_weights(op, kind, computed):
            weight = graph.tensors[op.inputs[1]]
            codes = weight.quantization
            scales = 0 if codes is None or codes.scale is None else len(codes.scale)
            if scales:  # of what stayed in float the audit speaks elsewhere
                found.append(scales == weight.shape[codes.quantizedDimension])
    return bool(found) and all(found)


def _port(model: Any, index: int) -> Port:
    """A tensor at an end of the graph, by its name in the signature where there is one."""
    tensor = model.subgraphs[0].tensors[index]
    entries = [e for s in model.signatureDefs or () for e in (*s.inputs, *s.outputs)]
    names = [entry.name for entry in entries if entry.tensorIndex == index]
    port = Port(
        name=(names or [tensor.name])[0].decode(),
        shape=tuple(int(size) for size in tensor.shape),
        dtype=tflite.dtype(tensor),
    )
    codes = tensor.quantization
    if codes is None or codes.scale is None or len(codes.scale) != 1:
        return port
    grid = {"scale": float(codes.scale[0]), "zero_point": int(codes.zeroPoint[0])}
    return port.model_copy(update=grid)


def layer(tensor: str) -> str:
    """The layer inside a converted tensor's name: its torch path, else the name as it is.

    What the network itself computes, in no layer, is called as its class.

    >>> layer("a.Wrapper/timm.Net_wrapped/torch.Sequential_blocks/torch.Conv2d_conv;torch.ReLU_act")
    'blocks.conv'
    >>> layer("a.Wrapper/timm.Net_wrapped;1"), layer("scores")
    ('Net', 'scores')
    """
    first = tensor.split(";")[0]  # what was fused into the operator follows
    if first.endswith("_wrapped"):
        return first.removesuffix("_wrapped").rpartition(".")[2]
    _, found, path = first.partition("_wrapped/")
    if not found:
        return first
    return ".".join(part.rpartition(".")[2].partition("_")[2] for part in path.split("/"))
