"""A model that comes as an .onnx file is compiled to the same contract, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.data.size import Size
from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.models.card import Card
from edgekit.models.timm_models import create
from edgekit.runtimes import _onnx_export
from edgekit.runtimes.onnxruntime import OnnxRuntime

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxslim")
pytest.importorskip("onnxscript")

SIZE = 32
RUNTIME = OnnxRuntime()
HALF = (0.5, 0.5, 0.5)
CARD = Card(
    arch="tiny",
    classes=("a", "b"),
    image_size=SIZE,
    mean=HALF,
    std=HALF,
    crop_pct=1.0,
    parameters=0,
    macs=0,
)


def planar(batch: Any = "N", height: Any = SIZE, opset: int = 17) -> Any:
    """A convolution, pooling and a hard-sigmoid on NCHW, with `scores` as the name inside."""
    helper, rng = onnx.helper, np.random.default_rng(0)
    weights = rng.normal(size=(2, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["pixels", "w"], ["scores"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["scores"], ["pooled"], axes=[2, 3], keepdims=1),
        helper.make_node("HardSigmoid", ["pooled"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", 1, [batch, 3, height, SIZE])],
        [helper.make_tensor_value_info("out", 1, [batch, 2, 1, 1])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def compile_(model: Any, into: Path, card: Card = CARD) -> Path:
    onnx.save(model, into / "given.onnx")
    (into / "made").mkdir()
    RUNTIME.compile(into / "given.onnx", card, into / "made", lambda *_: None)
    return into / "made" / RUNTIME.file


def run(path: Path, **inputs: Any) -> Any:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)[0]


@pytest.mark.parametrize("batch", ["N", 1, -1])
def test_planes_of_any_batch_become_one_image(batch: Any, tmp_path: Path) -> None:
    model = planar(batch if batch != -1 else None)
    made = compile_(model, tmp_path)
    image = np.random.default_rng(1).normal(size=(1, SIZE, SIZE, 3)).astype(np.float32)
    expected = run(tmp_path / "given.onnx", pixels=image.transpose(0, 3, 1, 2)).reshape(1, 2)
    np.testing.assert_allclose(run(made, image=image), expected, rtol=1e-5, atol=1e-6)
    described = RUNTIME.describe(made)
    assert (described.input.name, described.input.shape) == ("image", (1, SIZE, SIZE, 3))
    assert (described.output.name, described.output.shape) == ("scores", (1, 2))


def test_an_old_opset_is_converted(tmp_path: Path) -> None:
    made = onnx.load(compile_(planar(1, opset=11), tmp_path))
    assert made.opset_import[0].version >= 13


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: planar(1, "H"), r"dimension 2 of input pixels is dynamic \(H\)"),
        (lambda: planar(4), "batch of 4"),
        (lambda: planar(1, 48), r"shape \[1, 3, 48, 32\]"),
        (lambda: with_second_input(), "2 inputs .pixels, other."),
        (lambda: with_second_output(), "2 outputs .out, pooled."),
    ],
    ids=["height", "batch", "size", "inputs", "outputs"],
)
def test_what_cannot_be_taken_is_named(model: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=says):
        compile_(model(), tmp_path)


def with_second_input() -> Any:
    model = planar(1)
    model.graph.input.append(onnx.helper.make_tensor_value_info("other", 1, [1]))
    return model


def with_second_output() -> Any:
    model = planar(1)
    model.graph.output.append(onnx.helper.make_tensor_value_info("pooled", 1, [1, 2, 1, 1]))
    return model


def test_scores_that_do_not_fit_the_classes_are_refused(tmp_path: Path) -> None:
    card = CARD.model_copy(update={"classes": ("a", "b", "c")})
    with pytest.raises(Unsupported, match=r"shape \[1, 2\], \[1, 3\] expected"):
        compile_(planar(1), tmp_path, card)


def test_a_file_that_is_no_model_is_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"model\.onnx cannot be read"):
        RUNTIME.compile(tmp_path / "model.onnx", CARD, tmp_path, lambda *_: None)


def test_a_keras_model_gives_the_scores_it_gave(tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    RUNTIME.compile(model, CARD, tmp_path, lambda *_: None)
    image = np.random.default_rng(1).normal(size=(1, SIZE, SIZE, 3)).astype(np.float32)
    expected = model(image, training=False).numpy()
    np.testing.assert_allclose(
        run(tmp_path / RUNTIME.file, image=image), expected, rtol=1e-4, atol=1e-5
    )


def test_an_operator_that_cannot_run_is_refused_as_input(tmp_path: Path) -> None:
    model = planar(1)
    model.graph.node[2].op_type = "NoSuchOperator"
    with pytest.raises(EdgekitError, match="NoSuchOperator") as caught:
        compile_(model, tmp_path)
    assert caught.value.exit_code == 2


def test_attention_that_the_exporter_loses_fused_is_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As MaxViT's, whose reshape of fused attention's output is a view of another layout."""
    model = create("test_vit", 2, image_size=Size.square(SIZE))
    export, asked = torch.onnx.export, []

    def stops_at_fused(module: Any, *words: Any, **options: Any) -> Any:
        asked.append({m.fused_attn for m in module.modules() if hasattr(m, "fused_attn")})
        if True in asked[-1]:
            raise torch.onnx.OnnxExporterError("step 2/3") from ValueError("Cannot view a tensor")
        return export(module, *words, **options)

    monkeypatch.setattr(torch.onnx, "export", stops_at_fused)
    made = _onnx_export.from_torch(model, CARD)
    assert [entry.name for entry in made.graph.output] == ["scores"]
    assert asked == [{True}, {False}]
    assert all(m.fused_attn for m in model.modules() if hasattr(m, "fused_attn")), "as it was"
    with pytest.raises(Unsupported, match="Cannot view a tensor"):
        _onnx_export.from_torch(torch.nn.Sequential(Stubborn()), CARD)


class Stubborn(torch.nn.Module):
    """Its attention is fused, whatever it is asked."""

    @property
    def fused_attn(self) -> bool:
        return True

    @fused_attn.setter
    def fused_attn(self, value: bool) -> None:
        pass
