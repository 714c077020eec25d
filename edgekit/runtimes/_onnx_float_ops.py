"""Which nodes of an ONNX graph must stay in float, found by rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

PRODUCTS = {"MatMul", "Einsum"}
LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
"""Operators with weights of their own, which int8 suits: float operators end before them."""
SAME_VALUES = {"Slice", "Split", "Gather", "Transpose", "Reshape", "Squeeze", "Unsqueeze"}
SAME_VALUES |= {"Expand", "Identity", "Cast", "Flatten"}
GUARDS = {"Add", "Max", "Clip"}
"""What keeps a denominator from zero: an epsilon, which int8 rounds away."""


def linear_attention(graph: Any) -> tuple[str, ...]:
    """Names of the nodes of every linear attention, in the order of the graph.

    Linear attention ends in a division by a sum of products of activations, q @ (k' @ 1). Other
    divisions have another denominator: layer normalisation a square root, an L2 norm a reduction,
    a scale a constant; softmax is a node of its own. From the division back, everything up to the
    layers that make Q, K and V stays in float: the denominator spans several powers of ten, and
    with eight bits of it, or of the products that make it, quotients are lost.
    """
    flow = _Dataflow(graph)
    inside: set[int] = set()
    for node in graph.node:
        if node.op_type == "Div" and flow.is_sum_of_products(node.input[1]):
            inside.update(flow.back_to_layers(node))
    return tuple(node.name for i, node in enumerate(graph.node) if i in inside)


class _Dataflow:
    """Who makes a tensor, and which tensors are computed and not constant."""

    def __init__(self, graph: Any) -> None:
        self.nodes = list(graph.node)
        self.maker = {name: i for i, node in enumerate(self.nodes) for name in node.output}
        self.computed = {value.name for value in graph.input}
        self.computed -= {constant.name for constant in graph.initializer}
        for node in self.nodes:
            if any(name in self.computed for name in node.input):
                self.computed.update(node.output)

    def activations(self, node: Any) -> list[str]:
        return [name for name in node.input if name in self.computed]

    def is_sum_of_products(self, name: str) -> bool:
        """Whether a tensor is a product of two activations, but for reshaping and an epsilon."""
        while name in self.computed and name in self.maker:
            node = self.nodes[self.maker[name]]
            sources = self.activations(node)
            if node.op_type in PRODUCTS:
                return len(sources) > 1
            if node.op_type not in SAME_VALUES | GUARDS or len(sources) != 1:
                return False
            name = sources[0]
        return False

    def back_to_layers(self, end: Any) -> Iterator[int]:
        """Indices of `end` and of the nodes before it, without the layers that feed them."""
        todo, seen = [*end.output], set()
        while todo:
            index = self.maker.get(todo.pop())
            if index is None or index in seen:
                continue
            seen.add(index)
            node = self.nodes[index]
            if node.op_type in LAYERS and len(self.activations(node)) == 1:
                continue
            yield index
            todo += self.activations(node)
