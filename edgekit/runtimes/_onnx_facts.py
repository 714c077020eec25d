"""What a running ONNX node is in the file: its work, its weights and the bytes it moves."""

from __future__ import annotations

import math
import re
from typing import Any

from edgekit.runtimes import _onnx_graph as graph
from edgekit.runtimes.contract.description import Work

FLOAT_HEAVY = {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm"}
FLOAT_HEAVY |= {"MatMul", "FusedMatMul", "Einsum"}
INT8_HEAVY = {"QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger"}
INT8_HEAVY |= {"MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
HEAVY = FLOAT_HEAVY | INT8_HEAVY
CONVERSIONS = {"Cast", *graph.QDQ}
PASSES_ON = {*CONVERSIONS, "Transpose", "Reshape", "Identity"}
"""Operators between stored weights and what computes with them."""
MARKS = re.compile(r"(_token_\d+|_nchwc)+$")


def name_of(node: Any) -> str:
    """The name that a running node has in the file, without what fusing adds to it."""
    return MARKS.sub("", node.name or node.output[0])


class Facts:
    """Multiply-accumulates and bytes, from the shapes in the file.

    The running graph won't do: x86's convolutions pad channels, and their shapes are not kept.
    """

    def __init__(self, written: Any, running: Any) -> None:
        values = [*written.value_info, *written.input, *written.output]
        types = {v.name: v.type.tensor_type for v in values}
        self.shapes: dict[str, list[int]] = {
            n: [d.dim_value for d in t.shape.dim] for n, t in types.items()
        }
        self.sizes: dict[str, int] = {
            name: math.prod(self.shapes[name]) * _item(t.elem_type) for name, t in types.items()
        }
        self.shapes |= {i.name: list(i.dims) for i in written.initializer}
        self.constants: dict[str, int] = {
            i.name: math.prod(i.dims) * _item(i.data_type) for i in running.initializer
        }
        self.types = {i.name: i.data_type for i in written.initializer}
        self.by_name = {node.name: node for node in written.node}
        self.maker = {name: node for node in written.node for name in node.output}

    def written(self, node: Any) -> str:
        found = self._original(node)
        return str(found.name) if found else ""

    def macs(self, node: Any) -> int:
        found = self._original(node)
        return self._count(found) if found else 0

    def work(self, node: Any) -> Work:
        found = self._original(node)
        if found is None or found.op_type not in {"Conv", "ConvTranspose"}:
            computed = found is not None and self._is_computed(found.input[1])
            return "product" if computed else "dense"
        weights = self.shapes.get(found.input[1], [])
        groups = next((a.i for a in found.attribute if a.name == "group"), 1)
        if groups > 1 and weights[1:2] == [1]:
            return "depthwise"
        return "conv" if math.prod(weights[2:]) > 1 else "dense"

    def stored(self, node: Any) -> str:
        """The type of a heavy node's weights in the file; empty where they are computed."""
        found = self._original(node)
        if found is None:
            return ""
        name = found.input[3 if found.op_type.startswith("Q") else 1]
        while name in self.maker and self.maker[name].op_type in PASSES_ON:
            name = self.maker[name].input[0]
        return _name(self.types.get(name, 0))

    def reads(self, node: Any) -> str:
        """The type of the codes that a heavy node's first input is made of; empty where none."""
        found = self._original(node)
        maker = self.maker.get(found.input[0]) if found else None
        if maker is None or maker.op_type != "DequantizeLinear" or len(maker.input) < 3:
            return ""
        return _name(self.types.get(maker.input[2], 0))

    def weights(self, node: Any) -> int:
        return sum(self.constants.get(name, 0) for name in node.input)

    def moved(self, node: Any, item: int) -> int:
        """
        Args:
            item: bytes of a value it writes, where fusing gave what it writes another name. Nodes
                must come in the order they run.
        """
        found = self.by_name.get(name_of(node)) or self.maker.get(name_of(node))
        values = math.prod(self.shapes.get(found.output[0], [0])) if found else 0
        for name in node.output:
            self.sizes.setdefault(name, values * item)
        names = [*(n for n in node.input if n not in self.constants), *node.output]
        return sum(self.sizes.get(name, 0) for name in names)

    def _is_computed(self, name: str) -> bool:
        """Whether a tensor depends on the image; a constant may come by way of conversions."""
        while name in self.maker:
            node = self.maker[name]
            if node.op_type not in {*graph.QDQ, "Transpose"}:
                return bool(node.op_type != "Constant")
            name = node.input[0]
        return name in self.sizes

    def _original(self, node: Any) -> Any:
        """The node of the file that a running node stands for: the one of its name, or else the
        last heavy one behind what it gives, for activations and conversions are fused into it."""
        name = name_of(node)
        found = self.by_name.get(name) or self.maker.get(node.output[0])
        while found is None or found.op_type not in HEAVY:
            found = self.maker.get(found.input[0] if found and found.input else name)
            if found is None:
                return None
        return found

    def _count(self, node: Any) -> int:
        first, weights = (self.shapes.get(name, []) for name in node.input[:2])
        given: int = math.prod(self.shapes.get(node.output[0], [0]))
        if node.op_type == "Conv":  # [outputs, inputs a group, kernel height, kernel width]
            return given * math.prod(weights[1:])
        if node.op_type == "ConvTranspose":
            return math.prod(first) * math.prod(weights[1:])
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        return given * (first[0] if transposed else first[-1]) if first else 0


def _name(elem_type: int) -> str:
    from onnx import helper

    return str(helper.tensor_dtype_to_np_dtype(elem_type).name) if elem_type else ""


def _item(elem_type: int) -> int:
    """Bytes of a value."""
    from onnx import helper

    return int(helper.tensor_dtype_to_np_dtype(elem_type).itemsize) if elem_type else 0
