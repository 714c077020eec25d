"""Where an int8 graph has a tensor of its own: after what runtimes fuse, before what they do not.

A convolution takes its BatchNorm and a ReLU or ReLU6 with it, and so does a sum its ReLU. Other
activations are operators with a quantised input. Data movement changes no value.
"""

from __future__ import annotations

from edgekit.quantization.trace import IMAGE, Call, Trace

LAYERS = {"conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear"}
SUMS = {"add", "radd", "iadd"}
FUSED_ACTIVATIONS = {"relu", "relu6"}
QUOTIENTS = {"div", "truediv", "true_divide", "rtruediv", "itruediv"}
# Not pooling of means: its result holds numbers that its input did not.
MOVES = {
    "adaptive_max_pool2d", "chunk", "clone", "contiguous", "detach", "expand", "flatten", "float",
    "get", "getitem", "max_pool2d", "movedim", "narrow", "pad", "permute", "repeat",
    "repeat_interleave", "reshape", "roll", "split", "split_with_sizes", "squeeze", "swapaxes",
    "swapdims", "t", "tile", "to", "transpose", "type_as", "unbind", "unflatten", "unsqueeze",
    "view",
}  # fmt: skip
INPUT = "image"


def quantizer_positions(trace: Trace) -> dict[int, str]:
    """Where quantizers stand: names of the tensors that an int8 graph quantises, by the index of
    the call that makes them; IMAGE is the input.

    A name is the module's, with the function: `blocks.1.0.conv_pw.conv2d`. Names of a module that
    calls a function twice are numbered.
    """
    float_ops = _float_ops(trace)
    found = {IMAGE: INPUT}
    used: dict[str, int] = {}
    for call in trace.calls:
        if call.function in MOVES or call.index in float_ops or _fuses_on(trace, call, float_ops):
            continue
        name = f"{call.module}.{call.function}".lstrip(".")
        used[name] = used.get(name, 0) + 1
        found[call.index] = name if used[name] == 1 else f"{name}-{used[name]}"
    return found


def _fuses_on(trace: Trace, call: Call, float_ops: set[int]) -> bool:
    """Whether the next operator becomes one with this one, so that its result never exists."""
    after = trace.only_consumer(call.index)
    if after is None or after.index in float_ops:
        return False
    if after.function == "batch_norm":
        return call.function in LAYERS
    return after.activation in FUSED_ACTIVATIONS and call.function in LAYERS | SUMS | {"batch_norm"}


def _float_ops(trace: Trace) -> set[int]:
    """Calls between the layers that make Q, K and V and the division of a linear attention, which
    eight bits break and every runtime keeps in float; the quotient is a tensor again."""
    found: set[int] = set()
    for call in trace.calls:
        if call.function in QUOTIENTS and len({i for i in call.inputs if i != IMAGE}) > 1:
            waiting = list(call.inputs)
            while waiting:
                index = waiting.pop()
                if index == IMAGE or index in found or _ends_a_layer(trace, index):
                    continue
                found.add(index)
                waiting += trace.calls[index].inputs
    return found


def _ends_a_layer(trace: Trace, index: int) -> bool:
    call = trace.calls[index]
    return call.function in LAYERS | {"batch_norm"}
