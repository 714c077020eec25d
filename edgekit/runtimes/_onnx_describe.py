"""What an .onnx file's nodes compute in, read from the graph that really runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgekit.engine.temporary import temporary_folder
from edgekit.errors import EdgekitError
from edgekit.models import _onnx_plain as plain
from edgekit.runtimes import _onnx_graph as graph
from edgekit.runtimes.contract.description import Description, Operator, Port, Work, only

FLOAT_HEAVY = {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm"}
FLOAT_HEAVY |= {"MatMul", "FusedMatMul", "Einsum"}
INT8_HEAVY = {"QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger"}
INT8_HEAVY |= {"MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
HEAVY = FLOAT_HEAVY | INT8_HEAVY
CONVERSIONS = {"Cast", *graph.QDQ}
PASSES_ON = {*CONVERSIONS, "Transpose", "Reshape", "Identity"}
"""Operators between stored weights and what computes with them."""
MARKS = re.compile(r"(_token_\d+|_nchwc)+$")
TRANSPOSES = {"Transpose", "ReorderInput", "ReorderOutput"}
"""The last two move channels into blocks and back, for x86's convolutions."""


def describe(path: Path) -> Description:
    """Read a model file back; the graph is what is left once the session has fused what it can."""
    running, written = _running(path), _written(path)
    only([value.name for value in running.input], path)
    facts = _Facts(written, running)
    return Description(
        input=_port(running.input[0]),
        output=_port(running.output[0]),
        operators=_operators(running, facts),
        per_channel=_is_per_channel(written),
        conversions=_conversions(running),
        transposes=_transposes(running),
    )


def _written(path: Path) -> Any:
    """The graph of the file with the shapes that one image gives."""
    import onnx

    model = onnx.load(path)
    plain.free_constants(model)
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].dim_value:
            dims[0].dim_value = 1
            del model.graph.value_info[:]  # inferred for an open batch
    return onnx.shape_inference.infer_shapes(model).graph


def _running(path: Path) -> Any:
    import onnx
    import onnxruntime

    with temporary_folder() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # it warns that the dump fits this CPU only: we know
        options.optimized_model_filepath = str(folder / "optimized.onnx")
        try:
            onnxruntime.InferenceSession(_whole(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's exceptions have no common base of their own
            raise EdgekitError(f"ONNX Runtime cannot load {path}: {error}") from error
        model = onnx.load(options.optimized_model_filepath)
    plain.free_constants(model)
    return model.graph


def _whole(path: Path) -> Path | bytes:
    """What to open a session of whose optimised graph is saved: with weights in a file beside it,
    ONNX Runtime would have the saved graph look for them beside itself."""
    import onnx
    from onnx.external_data_helper import uses_external_data

    model = onnx.load(path, load_external_data=False)
    if not any(uses_external_data(tensor) for tensor in model.graph.initializer):
        return path
    content: bytes = onnx.load(path).SerializeToString()
    return content


def _port(value: Any) -> Port:
    from onnx import helper

    tensor = value.type.tensor_type
    shape = tuple(d.dim_value for d in tensor.shape.dim)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return Port(name=value.name, shape=shape, dtype=dtype)


def _operators(running: Any, facts: _Facts) -> tuple[Operator, ...]:
    """Every node; one that only moves data counts as what flows through it."""
    from onnx import TensorProto

    codes = {i.name for i in running.input if i.type.tensor_type.elem_type == TensorProto.UINT8}
    operators = []
    for node in running.node:
        kind = node.op_type
        is_light = kind not in HEAVY and kind not in CONVERSIONS
        moves_codes = bool(is_light and node.input and node.input[0] in codes)
        if moves_codes or _makes_codes(node):
            codes.update(node.output)
        is_int8 = moves_codes or kind in INT8_HEAVY or kind.startswith("QLinear")
        operators.append(_operator(node, is_int8, facts))
    return tuple(operators)


def _makes_codes(node: Any) -> bool:
    """A QGemm with fewer than nine inputs has no output scale: it gives floats."""
    kind = node.op_type
    is_whole_gemm = kind == "QGemm" and len(node.input) == 9
    return kind == "QuantizeLinear" or kind.startswith("QLinear") or is_whole_gemm


def _operator(node: Any, is_int8: bool, facts: _Facts) -> Operator:
    heavy = node.op_type in HEAVY
    return Operator(
        name=_name(node),
        kind=node.op_type,
        written=facts.written(node) if heavy else _name(node),
        precision="int8" if is_int8 else "float32",
        stored=facts.stored(node) if heavy else "",
        heavy=heavy,
        macs=facts.macs(node) if heavy else 0,
        work=facts.work(node) if heavy else None,
        weights=facts.weights(node),
        moved=facts.moved(node, 1 if is_int8 else 4),
    )


def _name(node: Any) -> str:
    """The name that a running node has in the file, without what fusing adds to it."""
    return MARKS.sub("", node.name or node.output[0])


class _Facts:
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
        from onnx import helper

        found = self._original(node)
        if found is None:
            return ""
        name = found.input[3 if found.op_type.startswith("Q") else 1]
        while name in self.maker and self.maker[name].op_type in PASSES_ON:
            name = self.maker[name].input[0]
        elem_type = self.types.get(name, 0)
        return str(helper.tensor_dtype_to_np_dtype(elem_type).name) if elem_type else ""

    def weights(self, node: Any) -> int:
        return sum(self.constants.get(name, 0) for name in node.input)

    def moved(self, node: Any, item: int) -> int:
        """
        Args:
            item: bytes of a value it writes, where fusing gave what it writes another name. Nodes
                must come in the order they run.
        """
        found = self.by_name.get(_name(node)) or self.maker.get(_name(node))
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
        name = _name(node)
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


def _item(elem_type: int) -> int:
    """Bytes of a value."""
    from onnx import helper

    return int(helper.tensor_dtype_to_np_dtype(elem_type).itemsize) if elem_type else 0


def _conversions(running: Any) -> tuple[str, ...]:
    """Conversions with a heavy operator before and after them, or of a constant.

    At the ends of a graph the image becomes codes, and codes become scores: that is no fault.
    """
    after = _reached(running.node, backwards=False)
    before = _reached(running.node, backwards=True)
    constants = {i.name for i in running.initializer}
    return tuple(
        _name(node)
        for node in running.node
        if node.op_type in graph.QDQ
        and (node.input[0] in constants or node.output[0] in after)
        and node.output[0] in before
    )


def _reached(nodes: Iterable[Any], backwards: bool) -> set[str]:
    """Tensors that come after a heavy operator; backwards, that a heavy operator comes after."""
    reached: set[str] = set()
    for node in reversed(list(nodes)) if backwards else nodes:
        here, there = (node.output, node.input) if backwards else (node.input, node.output)
        if node.op_type in HEAVY or any(name in reached for name in here):
            reached.update(there)
    return reached


def _transposes(running: Any) -> tuple[str, ...]:
    """Nodes that move data to another layout, without those of the image itself."""
    after = _reached(running.node, backwards=False)
    return tuple(
        _name(node)
        for node in running.node
        if node.op_type in TRANSPOSES and node.input[0] in after
    )


def _is_per_channel(written: Any) -> bool:
    """Whether every int8 weight has a scale for each output channel."""
    from onnx import TensorProto

    constants = {i.name: i for i in written.initializer}
    found = [
        math.prod(constants[node.input[1]].dims) > 1 or weight.dims[_axis(node)] == 1
        for node in written.node
        if node.op_type == "DequantizeLinear"
        and (weight := constants.get(node.input[0])) is not None
        and weight.data_type == TensorProto.INT8
        and len(weight.dims) > 1
    ]
    return bool(found) and all(found)


def _axis(node: Any) -> int:
    """Along which a DequantizeLinear has its scales; 1 unless it says otherwise (ONNX)."""
    return next((a.i for a in node.attribute if a.name == "axis"), 1)
