"""An ONNX graph rewritten for int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.agent import agent
from edgekit.runtimes.contract.settings import Quantization
from edgekit.runtimes.onnxruntime import OnnxRuntime
from tests.runtimes import tiny

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxslim")
pytest.importorskip("onnxscript")


def normalised_thrice() -> Any:
    """Three normalisations of equal weights, which the exporter writes once."""
    import torch

    class Normalised(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(3, 8, 4, stride=4)
            self.norms = torch.nn.ModuleList([torch.nn.LayerNorm(8) for _ in range(3)])
            self.layers = torch.nn.ModuleList([torch.nn.Linear(8, 8) for _ in range(3)])
            self.head = torch.nn.Linear(8, len(tiny.LABELS))

        def forward(self, image: Any) -> Any:
            x = self.first(image).flatten(2).transpose(1, 2)
            for norm, layer in zip(self.norms, self.layers, strict=True):
                x = x + torch.relu(layer(norm(x)))
            return self.head(x.mean(1))

    torch.manual_seed(0)
    return Normalised().eval()


@pytest.mark.parametrize("quantizer", OnnxRuntime.quantizers)
def test_equal_weights_of_several_layers_load_with_exact_sums(
    quantizer: str, tmp_path: Path
) -> None:
    if quantizer == "nncf":
        pytest.importorskip("nncf")
    runtime, card = OnnxRuntime(), tiny.card()
    folders = [tmp_path / name for name in ("float", "int8", "baked")]
    for folder in folders:
        folder.mkdir()
    compiled, quantized, baked = (folder / runtime.file for folder in folders)
    runtime.compile(normalised_thrice(), card, compiled.parent, lambda *_: None)
    weights = [n.input[1] for n in onnx.load(compiled).graph.node if "LayerNorm" in n.op_type]
    assert (len(weights), len(set(weights))) == (3, 1)
    settings = Quantization(quantizer=quantizer)
    form = runtime.quantize(
        compiled, card, tiny.IMAGES, settings, quantized.parent, lambda *_: None
    )
    runtime.bake(quantized, card, form, tiny.LABELS, baked.parent)
    exact, fast = (agent.open_onnxruntime(str(baked), 1, exact) for exact in (True, False))
    before = agent.open_onnxruntime(str(compiled), 1, True)
    for image in tiny.IMAGES[:, np.newaxis]:
        quick = fast(image)
        if agent.int8_instructions():  # without them this processor's sums of codes saturate
            np.testing.assert_allclose(exact(image), quick, atol=0.05)
        wanted = before(((image / 255 - 0.5) / 0.5).astype(np.float32))
        np.testing.assert_allclose(exact(image), wanted, atol=0.1)


def test_a_copied_bias_takes_no_other_tensor_s_name(tmp_path: Path) -> None:
    """The quantiser copies `b` as `b0`, which is what the first convolution gives here."""
    from onnx import TensorProto, helper, numpy_helper

    source, quantized, baked = (tmp_path / name / OnnxRuntime.file for name in "fqb")
    for path in (source, quantized, baked):
        path.parent.mkdir()
    weights = np.random.default_rng(0).normal(0, 0.3, (2, 3, 3, 3, 3)).astype(np.float32)
    constants = {"v": weights[0], "w": weights[1], "b": np.full(3, 0.1, np.float32)}
    nodes = [
        helper.make_node("Transpose", ["image"], ["x"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "v", "b"], ["b0"], "first"),
        helper.make_node("Relu", ["b0"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "w", "b"], ["c"], "second"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["scores"], "row"),
    ]
    side = tiny.SIZE
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, side, side, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    kept = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    made = helper.make_graph(nodes, "shared", [image], [scores], kept)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8), source)
    runtime, card = OnnxRuntime(), tiny.card()
    settings = Quantization(quantizer="onnxruntime")
    form = runtime.quantize(source, card, tiny.IMAGES, settings, quantized.parent, lambda *_: None)
    runtime.bake(quantized, card, form, tiny.LABELS, baked.parent)
    after, before = (agent.open_onnxruntime(str(path), 1, True) for path in (baked, source))
    for pixels in tiny.IMAGES[:, np.newaxis]:
        wanted = before(((pixels / 255 - 0.5) / 0.5).astype(np.float32))
        np.testing.assert_allclose(after(pixels), wanted, atol=0.1)


def test_a_session_leaves_layers_in_float_that_are_so_in_the_file(tmp_path: Path) -> None:
    """Where input and output are in codes, it would write their weights as int8."""
    import torch

    runtime, card = OnnxRuntime(), tiny.card()
    torch.manual_seed(0)
    layers = [
        module
        for number in range(3)
        for module in (torch.nn.Conv2d(8 if number else 3, 8, 3), torch.nn.ReLU())
    ]
    network = torch.nn.Sequential(
        *layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3)
    )
    compiled, quantized = tmp_path / "float", tmp_path / "int8"
    compiled.mkdir()
    quantized.mkdir()
    runtime.compile(network.eval(), card, compiled, lambda *_: None)
    nodes = onnx.load(compiled / runtime.file).graph.node
    kept = [node.name for node in nodes if node.op_type in ("Conv", "Relu")][2:4]
    kept += [node.name for node in nodes if node.op_type == "Gemm"]
    runtime.quantize(
        compiled / runtime.file,
        card,
        tiny.IMAGES,
        Quantization(quantizer="onnxruntime", float_ops=tuple(kept)),
        quantized,
        lambda *_: None,
    )
    heavy = [o for o in runtime.describe(quantized / runtime.file).operators if o.heavy]
    assert [o.is_integer for o in heavy] == [True, False, True, False]
