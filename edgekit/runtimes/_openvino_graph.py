"""An OpenVINO graph: walk it, give its operators names that last, find fragile ones."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

INPUT, OUTPUT = "image", "scores"
CONVOLUTIONS = {
    "Convolution",
    "GroupConvolution",
    "ConvolutionBackpropData",
    "GroupConvolutionBackpropData",
}
ENDS = {"Parameter", "Constant", "Result"}
LONG_NEGATIVE_TAIL = {"Swish", "HSwish", "Gelu", "Mish", "Elu", "PRelu"}
"""Activations whose values are far from symmetric about zero."""
CARRIES_A_SUM = {
    *("Add", "ReduceSum", "Clamp", "Maximum", "Convert"),
    *("Slice", "StridedSlice", "Split", "VariadicSplit", "Gather", "Concat", "Pad", "Broadcast"),
    *("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Tile"),
}
"""What may stand between a sum of products and the division by it: epsilon, and layout."""
TORCH_NAME = re.compile(r"^(?:__module\.model\.)?(.*?)/?(?:aten|prim)::\w+/\w+$")


def sources(op: Any) -> list[Any]:
    return [port.get_source_output().get_node() for port in op.inputs()]


def consumers(op: Any) -> list[tuple[Any, int]]:
    """The operators that read any output of this one, and at which of their inputs."""
    targets = [t for output in op.outputs() for t in output.get_target_inputs()]
    found = [(t.get_node(), t.get_index()) for t in targets]
    return sorted(found, key=lambda pair: (pair[0].get_friendly_name(), pair[1]))


def computed(model: Any) -> set[str]:
    """Unique names of all operators whose values depend on the input; weights' do not, a
    FakeQuantize behind them or not."""
    found: set[str] = set()
    for op in model.get_ordered_ops():
        if op.get_type_name() == "Parameter" or any(s.get_name() in found for s in sources(op)):
            found.add(op.get_name())
    return found


def _operands(op: Any, live: set[str]) -> int:
    return sum(source.get_name() in live for source in sources(op))


def weight(op: Any) -> tuple[Any, list[Any]]:
    """The constant behind a heavy operator's second input and what dequantises it on the way.

    (None, []) where the second operand is computed, as in attention.
    """
    way = []
    source = sources(op)[1]
    while source.get_type_name() != "Constant":
        way.append(source)
        if source.get_type_name() == "Parameter" or not source.inputs():
            return None, []
        source = sources(source)[0]
    return source, way


def is_heavy(op: Any) -> bool:
    return op.get_type_name() in {*CONVOLUTIONS, "MatMul", "ScaledDotProductAttention"}


def macs(op: Any) -> int:
    """Multiply-accumulates of one heavy operator, from its shapes."""
    kind, out = op.get_type_name(), size(op.output(0).shape)
    shapes = [tuple(port.get_shape()) for port in op.inputs()]
    if kind == "ScaledDotProductAttention":
        query, key, value = shapes[:3]
        return size(query[:-1]) * int(key[-2] * (query[-1] + value[-1]))
    if kind == "MatMul":
        return out * int(shapes[0][-2 if op.get_attributes()["transpose_a"] else -1])
    grouped = 2 if kind.startswith("Group") else 1
    # A transposed convolution spreads every input value, the others gather every output value.
    values = size(shapes[0]) if kind.endswith("BackpropData") else out
    return values * size(shapes[1][grouped:])


def size(shape: Any) -> int:
    return math.prod(int(extent) for extent in shape)


def halve_floats(model: Any) -> None:
    """Keep the weights that were not quantised (NNCF leaves squeeze-excite in float) in float16,
    each behind the conversion that a compiler folds away. An NPU computes with them in float16."""
    import numpy as np
    from openvino import opset13 as ops

    for op in model.get_ordered_ops():
        constant, _ = weight(op) if is_heavy(op) else (None, [])
        if constant is None or constant.get_element_type().get_type_name() != "f32":
            continue
        readers = list(constant.output(0).get_target_inputs())
        half = ops.constant(constant.data.astype(np.float16))
        half.set_friendly_name(constant.get_friendly_name())
        whole = ops.convert(half, "f32")
        for reader in readers:
            reader.replace_source_output(whole.output(0))


def is_asymmetric(model: Any) -> bool:
    """Whether activations deserve zero points: swish and its kin, or attention of any kind."""
    live = computed(model)
    return any(
        op.get_type_name() in {*LONG_NEGATIVE_TAIL, "ScaledDotProductAttention"}
        or (op.get_type_name() == "MatMul" and _operands(op, live) == 2)
        for op in model.get_ops()
    )


def linear_attention(model: Any) -> tuple[str, ...]:
    """Names of every operator from the layers that make Q, K and V to the normalising division.

    The layers themselves, convolutions and matrix products with weights, are not among them.
    """
    live, inside = computed(model), set()
    for op in model.get_ordered_ops():
        if op.get_type_name() == "Divide" and _is_sum_of_products(sources(op)[1], live):
            inside |= {each.get_name() for each in _back_to_layers(op, live)}
    ordered = [op for op in model.get_ordered_ops() if op.get_name() in inside]
    return tuple(op.get_friendly_name() for op in ordered)


def _is_sum_of_products(denominator: Any, live: set[str]) -> bool:
    """A LayerNorm divides by a root and a softmax by a sum of exponentials: neither is one."""
    for op in _back(denominator, lambda op: op.get_type_name() in CARRIES_A_SUM):
        if op.get_type_name() in {"MatMul", "Multiply"} and _operands(op, live) == 2:
            return True
    return False


def _back_to_layers(division: Any, live: set[str]) -> Iterator[Any]:
    def is_inside(op: Any) -> bool:
        is_layer = is_heavy(op) and _operands(op, live) == 1
        return op.get_name() in live and op.get_type_name() != "Parameter" and not is_layer

    return filter(is_inside, _back(division, is_inside))


def _back(end: Any, passes: Callable[[Any], bool]) -> Iterator[Any]:
    """`end` and all before it, as far as operators let the walk pass."""
    waiting, seen = [end], set()
    while waiting:
        op = waiting.pop()
        if op.get_name() not in seen:
            seen.add(op.get_name())
            yield op
            if passes(op):
                waiting += sources(op)


def tidy(model: Any, known: set[str], scopes: dict[str, str] | None = None) -> None:
    """Give every operator a name that is the same in every build, and drop names of tensors.

    OpenVINO numbers the operators that its passes make with a counter of the process. Such an
    operator is called after its layer, or after the operator behind it, or else after its kind.

    Args:
        known: names that came with the model; a name with a slash is always kept.
        scopes: the torch module that made a tensor, by the tensor's name.
    """
    ordered, live = model.get_ordered_ops(), computed(model)
    inner = [op for op in ordered if op.get_type_name() not in ENDS]
    # All names are chosen before any is given: they are chosen by those that the model has now.
    names = _lasting_names(inner, live, known, scopes or {})
    taken = {INPUT}
    for op in inner:
        name = first = names[op.get_name()]
        for number in itertools.count(1):
            if name not in taken:
                break
            name = f"{first}_{number}"
        taken.add(name)
        op.set_friendly_name(name)
    # Last, since constants and ends are called after the operators beside them.
    _name_the_rest(ordered)


def _lasting_names(
    inner: list[Any], live: set[str], known: set[str], scopes: dict[str, str]
) -> dict[str, str]:
    """A name for each operator, by its unique one; several may get the same.

    From the last operator to the first, since a made-up one is called after what reads it.
    """
    names: dict[str, str] = {}
    places: dict[str, str] = {}
    for op in reversed(inner):
        own, kind, unique = op.get_friendly_name(), op.get_type_name(), op.get_name()
        is_lasting, made_by = own in known or "/" in own, _scope(op, scopes)
        if is_lasting:
            names[unique] = _shorten(own, kind)
        else:
            beside = min(places.get(reader.get_name(), "") for reader, _ in consumers(op))
            names[unique] = "/".join(filter(None, (made_by or beside, kind)))
        # Farther back than one operator is another layer, but for what makes the weights.
        if is_lasting or made_by or unique not in live:
            places[unique] = names[unique].rpartition("/")[0]
    return names


def _name_the_rest(ordered: list[Any]) -> None:
    order = {op.get_name(): i for i, op in enumerate(ordered)}
    for op in ordered:
        for output in op.outputs():
            output.get_tensor().set_names(set())
        if op.get_type_name() == "Constant":
            readers = [(order[c.get_name()], c.get_friendly_name(), i) for c, i in consumers(op)]
            _, reader, index = min(readers)
            op.set_friendly_name(f"{reader}/{index}")
    for op in ordered:
        if op.get_type_name() == "Parameter":
            op.set_friendly_name(INPUT)
            op.output(0).get_tensor().set_names({INPUT})
        elif op.get_type_name() == "Result":
            op.set_friendly_name(f"{OUTPUT}/Result")
            op.input(0).get_source_output().get_tensor().set_names({OUTPUT})


def _shorten(name: str, kind: str) -> str:
    """`__module.model.blocks.0.act/aten::relu_/Relu` to `blocks.0.act/Relu`."""
    match = TORCH_NAME.match(name)
    return "/".join(filter(None, (match[1], kind))) if match else name


def _scope(op: Any, scopes: dict[str, str]) -> str:
    tensors = sorted(op.output(0).get_names())
    return max((scopes[t] for t in tensors if t in scopes), default="")
