"""Hard-sigmoid in an ONNX graph, written out as operators that have int8 kernels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgekit.runtimes._onnx_graph import QDQ, drop_unread, readers_of, set_nodes


def write_out_hard_sigmoid(model: Any) -> dict[str, list[str]]:
    """Write hard-sigmoid as Add, Clip and Mul, which have int8 kernels; it has none.

    clip(a x + b, 0, 1) = a clip(x + b / a, 0, 1 / a). The last Mul is dropped again once the model
    is quantised: see `fold_scales`.

    Returns:
        the names of the nodes that stand for each hard-sigmoid, the multiplication last.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    graph, nodes, written = model.graph, [], {}

    def constant(name: str, value: float) -> str:
        graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
        return name

    for node in graph.node:
        if node.op_type != "HardSigmoid":
            nodes.append(node)
            continue
        name, (x,), (y,) = node.name, node.input, node.output
        given = {a.name: a.f for a in node.attribute}
        alpha, beta = given.get("alpha", 0.2), given.get("beta", 0.5)
        shift, low = constant(f"{name}_shift", beta / alpha), constant(f"{name}_low", 0)
        high, slope = constant(f"{name}_high", 1 / alpha), constant(f"{name}_slope", alpha)
        parts = [
            helper.make_node("Add", [x, shift], [f"{name}_shifted"], f"{name}_add"),
            helper.make_node(
                "Clip", [f"{name}_shifted", low, high], [f"{name}_cut"], f"{name}_clip"
            ),
            helper.make_node("Mul", [f"{name}_cut", slope], [y], f"{name}_mul"),
        ]
        nodes += parts
        written[name] = [part.name for part in parts]
    set_nodes(graph, nodes)
    return written


def ranges_of_written_out(
    model: Any, written: dict[str, list[str]], ranges: dict[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """The ranges inside written-out hard-sigmoids, from those of what they take and give.

    Args:
        written: as `write_out_hard_sigmoid` returned it.
        ranges: by the names of the float file's tensors, which know nothing of these.
    """
    from onnx import numpy_helper

    nodes = {node.name: node for node in model.graph.node}
    constants = {i.name: i for i in model.graph.initializer}
    found = {}
    for add, clip, times in ([nodes[part] for part in parts] for parts in written.values()):
        shift, slope = (
            float(numpy_helper.to_array(constants[node.input[1]])) for node in (add, times)
        )
        if add.input[0] in ranges:
            low, high = ranges[add.input[0]]
            found[add.output[0]] = (min(0.0, low + shift), max(0.0, high + shift))
        if times.output[0] in ranges:
            low, high = ranges[times.output[0]]
            found[clip.output[0]] = (low / slope, high / slope)
    return found


def fold_scales(graph: Any, names: Iterable[str]) -> None:
    """Drop the quantised multiplications called `names`, whose second factor is a constant.

        codes -> DequantizeLinear -> Mul by a constant -> QuantizeLinear -> DequantizeLinear ...

    The same codes at that many times the scale are the product, so that no kernel need run: the
    last DequantizeLinear reads the first one's codes, with the product as its scale.
    """
    from onnx import numpy_helper

    maker: dict[str, Any] = {name: node for node in graph.node for name in node.output}
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    wanted = set(names)
    dropped: set[str] = set()
    for times in [node for node in graph.node if node.name in wanted]:
        around = _quantisers_around(graph, maker, times)
        if around is None:  # it stayed in float, or something else reads the product as well
            continue
        before, factor, after = around
        codes, scale, zero_point = before.input
        product = numpy_helper.from_array(_product(constants[scale], factor, constants))
        product.name = f"{times.name}_scale"
        graph.initializer.append(product)
        for reader in readers_of(graph, after.output[0]):
            reader.input[:] = [codes, product.name, zero_point]
        dropped |= {times.name, after.name}
    # Not within the loop: `set_nodes` copies nodes, and `maker` would point to those of before.
    set_nodes(graph, [node for node in graph.node if node.name not in dropped])
    # Where nothing else read them, the two dequantisers in front and their constants are idle now.
    drop_unread(graph)


def _product(scale: Any, dequantizer: Any, constants: dict[str, Any]) -> Any:
    """A scale times what the code of a constant stands for, in float32. The constant was quantised
    too: it is not the factor of the float file any more."""
    import numpy as np

    code, step, zero_point = (constants[name].astype(np.float32) for name in dequantizer.input)
    return scale * (code - zero_point) * step


def _quantisers_around(
    graph: Any, maker: dict[str, Any], times: Any
) -> tuple[Any, Any, Any] | None:
    """The dequantisers of a multiplication's two factors and the one quantiser that reads it; None
    where it is not quantised so."""
    before, factor = (maker.get(name) for name in times.input)
    readers = readers_of(graph, times.output[0])
    quantize, dequantize = QDQ
    kinds = [node.op_type if node else None for node in (before, factor, *readers)]
    return (before, factor, readers[0]) if kinds == [dequantize, dequantize, quantize] else None
