"""What must stay in float is found by rule, and only that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.models.card import Card
from edgekit.models.timm_models import create
from edgekit.runtimes._onnx_float_ops import linear_attention
from edgekit.runtimes.contract.settings import Quantization
from edgekit.runtimes.onnxruntime import OnnxRuntime

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxslim")
pytest.importorskip("onnxscript")

SIZE = 64
RUNTIME = OnnxRuntime()
GREY = np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3), np.uint8)


def card(arch: str, size: int = SIZE) -> Card:
    half = (0.5, 0.5, 0.5)
    sizes = {"image_size": size, "crop_pct": 1.0, "parameters": 0, "macs": 0}
    return Card(arch=arch, classes=("a", "b"), mean=half, std=half, **sizes)


def compiled(arch: str, into: Path) -> Path:
    torch.manual_seed(0)
    model = create(arch, 2)
    # Statistics of real activations: with the initial ones they shrink from layer to layer.
    with torch.no_grad():
        model.train()(torch.from_numpy(GREY / 127.5 - 1).float().permute(0, 3, 1, 2))
    RUNTIME.compile(model.eval(), card(arch), into, lambda *_: None)
    return into / RUNTIME.file


@pytest.fixture(scope="module")
def efficientvit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("efficientvit_b0", tmp_path_factory.mktemp("efficientvit"))


def test_the_island_of_a_linear_attention_is_found(efficientvit: Path) -> None:
    names = RUNTIME.float_ops(efficientvit)
    nodes = {node.name: node.op_type for node in onnx.load(efficientvit).graph.node}
    kinds = [nodes[name] for name in names]
    # Two stages of two blocks, each with k' @ v and q @ kv.
    assert kinds.count("Div") == 4
    assert kinds.count("MatMul") == 8
    assert {"Relu", "Pad", "Concat", "Split", "Transpose"} <= set(kinds)
    assert not {"Conv", "Gemm", "HardSwish", "HardSigmoid"} & set(kinds)


def test_every_node_has_a_name_of_its_own(efficientvit: Path) -> None:
    names = [node.name for node in onnx.load(efficientvit).graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("quantizer", ["onnxruntime", "nncf"])
def test_an_island_stays_in_float_and_nothing_else(
    efficientvit: Path, quantizer: str, tmp_path: Path
) -> None:
    if quantizer == "nncf":
        pytest.importorskip("nncf")
    float_ops = RUNTIME.float_ops(efficientvit)
    settings = Quantization(quantizer=quantizer, float_ops=float_ops)
    said = card("efficientvit_b0")
    RUNTIME.quantize(efficientvit, said, GREY, settings, tmp_path, lambda *_: None)
    model = onnx.load(tmp_path / RUNTIME.file)
    inside = {name for n in model.graph.node if n.name in float_ops for name in n.output}
    quantised = {n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    # The division's quotient is the island's way out, which the next convolution takes in codes.
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    assert {makers[name] for name in inside & quantised} <= {"Div"}
    described = RUNTIME.describe(tmp_path / RUNTIME.file)
    products = [o for o in described.operators if o.kind == "MatMul"]
    assert {o.precision for o in products} == {"float32"}
    if quantizer == "onnxruntime":
        assert set(described.float_heavy) <= set(float_ops)


def test_int8_attention_loses_what_the_island_keeps(efficientvit: Path, tmp_path: Path) -> None:
    said = card("efficientvit_b0")
    kept, lost = (
        sqnr(efficientvit, said, float_ops, tmp_path / name)
        for name, float_ops in (("island", RUNTIME.float_ops(efficientvit)), ("plain", ()))
    )
    assert kept > lost + 6  # a bit and more


def sqnr(source: Path, said: Card, float_ops: tuple[str, ...], into: Path) -> float:
    into.mkdir()
    settings = Quantization(quantizer="onnxruntime", float_ops=float_ops)
    form = RUNTIME.quantize(source, said, GREY, settings, into, lambda *_: None)
    images = form.prepare(GREY)
    true, found = (attention(path, images) for path in (source, into / RUNTIME.file))
    ratio = (true**2).sum(axis=1) / ((true - found) ** 2).sum(axis=1)
    return float(np.median(10 * np.log10(ratio)))


def attention(path: Path, images: Any) -> Any:
    """What the first linear attention gives: of random weights the scores would say little."""
    model = onnx.load(path)
    name = next(n for n in model.graph.node if n.op_type == "Div").output[0]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = ort.InferenceSession(
        onnx.shape_inference.infer_shapes(model).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    return np.concatenate(
        [session.run([name], {"image": i[None]})[0].reshape(1, -1) for i in images]
    )


@pytest.mark.parametrize("arch", ["mobilenetv3_small_050", "lcnet_035"])
def test_networks_without_attention_have_no_island(arch: str, tmp_path: Path) -> None:
    assert RUNTIME.float_ops(compiled(arch, tmp_path)) == ()


def graph_of(*lines: str) -> Any:
    """A graph from x to y; w and c are constants."""
    constants = f"float[4,4] w = {{{', '.join('1' * 16)}}}, float c = {{0.5}}"
    head = '<ir_version: 8, opset_import: ["" : 17]> g (float[4,4] x) => (float[4,4] y)'
    body = "\n".join(lines)
    graph = onnx.parser.parse_model(f"{head} <{constants}> {{ {body} }}").graph
    for node in graph.node:
        node.name = node.output[0]
    return graph


def test_divisions_that_int8_can_bear_are_no_island() -> None:
    normalised: tuple[str, ...]
    normalised = ("s = ReduceMean <axes=[1]> (x)", "d = Sub(x, s)", "q = Mul(d, d)")
    normalised += ("v = ReduceMean <axes=[1]> (q)", "r = Sqrt(v)", "y = Div(d, r)")
    softmax = ("m = MatMul(x, x)", "e = Exp(m)", "t = Add(e, c)", "y = Div(e, t)")
    scaled = ("m = MatMul(x, x)", "y = Div(m, c)")
    by_a_layer = ("m = MatMul(x, w)", "y = Div(x, m)")
    for lines in (normalised, softmax, scaled, by_a_layer):
        assert linear_attention(graph_of(*lines)) == ()


def test_an_island_ends_at_the_layers_that_feed_it() -> None:
    lines = (
        "before = Relu(x)",
        "layer = MatMul(before, w)",
        "k = Relu(layer)",
        "sums = MatMul(k, k)",
        "guarded = Add(sums, c)",
        "y = Div(k, guarded)",
    )
    assert linear_attention(graph_of(*lines)) == ("k", "sums", "guarded", "y")


def test_an_operator_that_is_not_there_is_refused(efficientvit: Path, tmp_path: Path) -> None:
    settings = Quantization(quantizer="onnxruntime", float_ops=("no_such_node",))
    with pytest.raises(InputError, match="no_such_node"):
        RUNTIME.quantize(
            efficientvit, card("efficientvit_b0"), GREY, settings, tmp_path, lambda *_: None
        )
