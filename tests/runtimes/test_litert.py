"""LiteRT: what is compiled, quantised and baked computes what torch computes."""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.errors import EdgekitError, InputError, MissingPackage
from edgekit.models.card import Card
from edgekit.models.timm_models import create
from edgekit.runtimes import _tflite, litert
from edgekit.runtimes.contract.input_form import InputForm, pixel_grid
from edgekit.runtimes.contract.settings import Quantization

pytest.importorskip("litert_torch")
pytest.importorskip("ai_edge_quantizer")

SIZE = 64
LABELS = ("intact", "cracked")
RUNTIME = litert.LiteRT()
IMAGES = np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE, 3), np.uint8)
DULL = IMAGES // 2 + 40
"""Calibration images without black and white: the pixel grid must not follow their range."""


def card(mean: tuple[float, float, float], std: tuple[float, float, float]) -> Card:
    sizes = {"image_size": SIZE, "crop_pct": 0.9, "parameters": 0, "macs": 0}
    return Card(arch="mobilenetv4_conv_small", classes=LABELS, mean=mean, std=std, **sizes)


ALIKE = card((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = card((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass
class Build:
    """Everything made from one torch model; conversion is slow, so it happens once."""

    torch_model: Any
    float_form: InputForm
    folder: Path
    forms: dict[str, InputForm]
    seen: list[tuple[int, int, str]]

    def path(self, name: str) -> Path:
        return self.folder / name / RUNTIME.file


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("litert")
    model = create("mobilenetv4_conv_small", len(LABELS))
    result = Build(model, ALIKE_FORM, folder, {}, [])

    def into(name: str) -> Path:
        (folder / name).mkdir()
        return folder / name

    def note(done: int, total: int, text: str) -> None:
        result.seen.append((done, total, text))

    result.float_form = RUNTIME.compile(model, ALIKE, into("float"), note)
    for name, its_card in (("alike", ALIKE), ("imagenet", IMAGENET)):
        source = result.path("float")
        form = RUNTIME.quantize(
            source, its_card, DULL, Quantization(quantizer="ai-edge-quantizer"), into(name), note
        )
        RUNTIME.bake(result.path(name), its_card, form, LABELS, into(f"{name} baked"))
        result.forms[name] = form
        plain = InputForm(dtype="float32", mean=its_card.mean, std=its_card.std)
        RUNTIME.bake(source, its_card, plain, LABELS, into(f"float {name} baked"))
    return result


ALIKE_FORM = InputForm(dtype="float32", mean=ALIKE.mean, std=ALIKE.std)


def run(path: Path, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    scores: np.ndarray[Any, Any] = interpreter.get_tensor(
        interpreter.get_output_details()[0]["index"]
    )
    return scores


def torch_scores(build: Build, form: InputForm, image: np.ndarray[Any, Any]) -> Any:
    with torch.no_grad():
        return build.torch_model(torch.from_numpy(form.prepare(image)).permute(0, 3, 1, 2)).numpy()


def test_float_model_computes_what_torch_computes(build: Build) -> None:
    assert build.float_form == ALIKE_FORM
    image = IMAGES[:1]
    found = run(build.path("float"), ALIKE_FORM.prepare(image))
    np.testing.assert_allclose(found, torch_scores(build, ALIKE_FORM, image), rtol=1e-3, atol=1e-4)


def test_compile_leaves_the_torch_model_alone(build: Build) -> None:
    assert not any(name.startswith("wrapped") for name, _ in build.torch_model.named_modules())
    assert all(p.is_contiguous() for p in build.torch_model.parameters())


def test_a_model_left_float_is_seen(build: Build) -> None:
    description = RUNTIME.describe(build.path("float"))
    assert len(description.float_heavy) == sum(o.heavy for o in description.operators) > 20
    assert not description.per_channel


def test_one_operator_left_float_is_seen(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litert, "LEFT_IN_FLOAT", ("FULLY_CONNECTED",))
    RUNTIME.quantize(
        build.path("float"),
        ALIKE,
        IMAGES[:2],
        Quantization(quantizer="ai-edge-quantizer"),
        tmp_path,
        lambda *_: None,
    )
    assert len(RUNTIME.describe(tmp_path / RUNTIME.file).float_heavy) == 1


@pytest.mark.parametrize("name", ["alike", "imagenet"])
def test_int8_has_no_float_convolution(build: Build, name: str) -> None:
    description = RUNTIME.describe(build.path(name))
    assert description.float_heavy == []
    assert description.per_channel
    assert description.outside_delegate == ()
    assert description.input.dtype == description.output.dtype == "float32"
    assert description.output.shape == (1, 2)


def test_per_tensor_weights_are_seen(build: Build, tmp_path: Path) -> None:
    settings = Quantization(
        quantizer="ai-edge-quantizer", per_channel=False, calibration="moving_average"
    )
    RUNTIME.quantize(build.path("float"), ALIKE, IMAGES, settings, tmp_path, lambda *_: None)
    description = RUNTIME.describe(tmp_path / RUNTIME.file)
    assert description.float_heavy == []
    assert not description.per_channel


def test_hard_swish_stays_in_float_inside_the_delegate(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.Hardswish(), torch.nn.Conv2d(8, 2, 3)]
    model = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    for name in ("float", "int8"):
        (tmp_path / name).mkdir()
    RUNTIME.compile(model, ALIKE, tmp_path / "float", lambda *_: None)
    source, into = tmp_path / "float" / RUNTIME.file, tmp_path / "int8"
    RUNTIME.quantize(
        source, ALIKE, IMAGES, Quantization(quantizer="ai-edge-quantizer"), into, lambda *_: None
    )
    description = RUNTIME.describe(into / RUNTIME.file)
    assert capfd.readouterr() == ("", "")
    assert description.count()["HARD_SWISH float32"] == 1
    assert description.count()["CONV_2D int8"] == 2
    assert description.outside_delegate == ()


def test_quantised_input_is_the_pixel_grid(build: Build) -> None:
    grid = pixel_grid(ALIKE)
    assert grid
    assert build.forms["alike"] == grid.form
    model = _tflite.read(build.path("alike"))
    quantize = model.subgraphs[0].operators[0]
    codes = model.subgraphs[0].tensors[quantize.outputs[0]].quantization
    assert list(codes.scale) == [np.float32(grid.scale)]
    assert list(codes.zeroPoint) == [grid.zero_point - 128]


def test_grid_is_baked_without_a_new_operator_and_bit_equal(build: Build) -> None:
    before, after = build.path("alike"), build.path("alike baked")
    kinds = [[o.kind for o in RUNTIME.describe(path).operators] for path in (before, after)]
    assert kinds[0] == kinds[1]
    assert RUNTIME.describe(after).input.dtype == "uint8"
    for i in range(len(IMAGES)):
        pixels = IMAGES[i : i + 1]
        expected = run(before, build.forms["alike"].prepare(pixels))
        np.testing.assert_array_equal(run(after, pixels), expected)


def test_every_pixel_value_reaches_its_own_code(build: Build) -> None:
    ramp = np.arange(SIZE * SIZE * 3, dtype=np.uint32).astype(np.uint8)
    pixels = ramp.reshape(1, SIZE, SIZE, 3)
    expected = run(build.path("alike"), build.forms["alike"].prepare(pixels))
    np.testing.assert_array_equal(run(build.path("alike baked"), pixels), expected)


def test_channels_normalised_apart_are_baked_in_float(build: Build) -> None:
    form = build.forms["imagenet"]
    assert form == InputForm(dtype="float32", mean=IMAGENET.mean, std=IMAGENET.std)
    kinds = [o.kind for o in RUNTIME.describe(build.path("imagenet baked")).operators]
    assert kinds[:4] == ["CAST", "MUL", "ADD", "QUANTIZE"]
    differences = [
        run(build.path("imagenet baked"), IMAGES[i : i + 1])
        - run(build.path("imagenet"), form.prepare(IMAGES[i : i + 1]))
        for i in range(len(IMAGES))
    ]
    # A last bit of float32 may tip a pixel to the next code.
    assert np.median(np.abs(differences)) < 1e-2


@pytest.mark.parametrize(("name", "its_card"), [("alike", ALIKE), ("imagenet", IMAGENET)])
def test_baked_float_model_equals_torch_on_raw_pixels(
    build: Build, name: str, its_card: Card
) -> None:
    form = InputForm(dtype="float32", mean=its_card.mean, std=its_card.std)
    found = run(build.path(f"float {name} baked"), IMAGES[:1])
    np.testing.assert_allclose(found, torch_scores(build, form, IMAGES[:1]), rtol=1e-3, atol=1e-4)


def test_labels_and_preprocessing_are_in_the_file(build: Build) -> None:
    path = build.path("imagenet baked")
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().splitlines() == list(LABELS)
        facts = json.loads(archive.read("edgekit.json"))
    assert facts["classes"] == list(LABELS)
    assert facts["mean"] == list(IMAGENET.mean)
    assert (facts["image_size"], facts["layout"], facts["dtype"]) == (SIZE, "NHWC", "uint8")
    description = RUNTIME.describe(path)
    assert (description.input.name, description.output.name) == ("image", "scores")


def test_weights_stay_aligned(build: Build) -> None:
    from ai_edge_litert.schema_py_generated import Model

    model = Model.GetRootAs(build.path("alike baked").read_bytes(), 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
    assert len(starts) > 50
    assert not any(start % 16 for start in starts)


def test_baking_twice_gives_the_same_bytes(build: Build, tmp_path: Path) -> None:
    RUNTIME.bake(build.path("alike"), ALIKE, build.forms["alike"], LABELS, tmp_path)
    assert (tmp_path / RUNTIME.file).read_bytes() == build.path("alike baked").read_bytes()


def test_progress_counts_calibration_images(build: Build) -> None:
    assert (len(IMAGES), len(IMAGES), "calibrating") in build.seen


def test_nothing_reaches_the_terminal(
    build: Build, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = build.path("float")
    RUNTIME.quantize(
        source,
        ALIKE,
        IMAGES[:2],
        Quantization(quantizer="ai-edge-quantizer"),
        tmp_path,
        lambda *_: None,
    )
    RUNTIME.describe(tmp_path / RUNTIME.file)
    assert capfd.readouterr() == ("", "")


def test_layers_are_named_as_in_torch(build: Build) -> None:
    names = [o.name for o in RUNTIME.describe(build.path("alike")).operators]
    assert any(name.startswith("blocks.0.0") for name in names)


def test_faults_are_told(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, baked = build.path("float"), build.path("alike baked")
    (tmp_path / "text").write_text("not a model at all")
    with pytest.raises(EdgekitError, match="not a LiteRT model"):
        RUNTIME.describe(tmp_path / "text")
    with pytest.raises(InputError, match="3 labels for a model of 2 scores"):
        RUNTIME.bake(source, ALIKE, ALIKE_FORM, ("a", "b", "c"), tmp_path)
    with pytest.raises(EdgekitError, match="baked in"):
        RUNTIME.bake(baked, ALIKE, ALIKE_FORM, LABELS, tmp_path)
    with pytest.raises(EdgekitError, match="calibration images are"):
        RUNTIME.quantize(
            source,
            ALIKE,
            IMAGES[:, :9],
            Quantization(quantizer="ai-edge-quantizer"),
            tmp_path,
            lambda *_: None,
        )
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(MissingPackage, match="litert-torch"):
        RUNTIME.compile(build.torch_model, ALIKE, tmp_path, lambda *_: None)


def test_an_operator_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.linalg.eigvalsh(x[0] @ x[0].transpose(1, 2))

    with pytest.raises(EdgekitError) as caught:
        RUNTIME.compile(Odd(), ALIKE, tmp_path, lambda *_: None)
    assert "linalg_eigh" in (caught.value.hint or "")


def test_a_line_that_cannot_be_traced_is_quoted(tmp_path: Path) -> None:
    class Branch(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))

    with pytest.raises(EdgekitError, match="cannot be converted") as caught:
        RUNTIME.compile(Branch(), ALIKE, tmp_path, lambda *_: None)
    assert "x.sum() > 0" in (caught.value.hint or "")
