"""ONNX Runtime: what is compiled, quantised and baked computes what torch computes."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.data.size import Size
from edgekit.errors import EdgekitError, MissingPackage, Unsupported
from edgekit.models.card import Card
from edgekit.models.timm_models import count_macs, create
from edgekit.runtimes._onnx_describe import _is_per_channel
from edgekit.runtimes.contract.input_form import InputForm, pixel_grid
from edgekit.runtimes.contract.settings import Quantization
from edgekit.runtimes.onnxruntime import OnnxRuntime

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxslim")
pytest.importorskip("onnxscript")

SIZE = 64
LABELS = ("intact", "cracked")
RUNTIME = OnnxRuntime()
IMAGES = np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3), np.uint8)
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
    folder: Path
    forms: dict[str, InputForm]
    seen: list[tuple[int, int, str]]
    terminal: io.StringIO

    def path(self, name: str) -> Path:
        return self.folder / name / RUNTIME.file

    def into(self, name: str) -> Path:
        (self.folder / name).mkdir()
        return self.folder / name

    def quantize(self, name: str, of: Card, calibration: Any) -> None:
        settings = Quantization(quantizer="onnxruntime", calibration=calibration)
        into, source = self.into(name), self.path("float")
        self.forms[name] = RUNTIME.quantize(source, of, DULL, settings, into, self.note)

    def bake(self, name: str, of: Card, form: InputForm) -> None:
        RUNTIME.bake(self.path(name), of, form, LABELS, self.into(f"{name}-baked"))

    def note(self, done: int, total: int, what: str) -> None:
        self.seen.append((done, total, what))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    torch.manual_seed(0)
    model = create("mobilenetv4_conv_small", len(LABELS))
    terminal = io.StringIO()
    made = Build(model, tmp_path_factory.mktemp("onnxruntime"), {}, [], terminal)
    with contextlib.redirect_stdout(terminal), contextlib.redirect_stderr(terminal):
        made.forms["float"] = RUNTIME.compile(model, ALIKE, made.into("float"), made.note)
        made.quantize("grid", ALIKE, "minmax")
        made.quantize("imagenet", IMAGENET, "minmax")
    made.bake("float", ALIKE, made.forms["float"])
    made.bake("grid", ALIKE, made.forms["grid"])
    made.bake("imagenet", IMAGENET, made.forms["imagenet"])
    return made


def scores(path: Path, images: NDArray[Any]) -> NDArray[Any]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["scores"], {"image": i[np.newaxis]})[0] for i in images])


def torch_scores(build: Build, form: InputForm) -> NDArray[Any]:
    with torch.no_grad():
        planes = torch.from_numpy(form.prepare(IMAGES)).permute(0, 3, 1, 2)
        return np.asarray(build.torch_model(planes))


def test_the_float_model_computes_what_torch_computes(build: Build) -> None:
    form = build.forms["float"]
    found = scores(build.path("float"), form.prepare(IMAGES))
    np.testing.assert_allclose(found, torch_scores(build, form), rtol=1e-4, atol=1e-3)
    described = RUNTIME.describe(build.path("float"))
    assert described.input.shape == (1, SIZE, SIZE, 3)
    assert (described.input.dtype, described.output.shape) == ("float32", (1, 2))
    assert described.float_heavy
    assert not described.per_channel


def test_the_float_model_is_one_file_without_paths_of_this_machine(build: Build) -> None:
    assert [p.name for p in build.path("float").parent.iterdir()] == [RUNTIME.file]
    assert b"site-packages" not in build.path("float").read_bytes()
    kinds = {node.op_type for node in onnx.load(build.path("float")).graph.node}
    assert "GlobalAveragePool" in kinds
    assert not kinds & {"ReduceMean", "Gather"}


@pytest.mark.parametrize("name", ["grid", "grid-baked", "imagenet", "imagenet-baked"])
def test_int8_runs_every_heavy_operator_in_int8(build: Build, name: str) -> None:
    described = RUNTIME.describe(build.path(name))
    assert described.float_heavy == []
    assert described.per_channel
    assert sum(o.heavy for o in described.operators) == 47


def test_the_quantised_input_is_the_pixel_grid(build: Build) -> None:
    grid = pixel_grid(ALIKE)
    assert grid is not None
    assert build.forms["grid"] == grid.form
    model = onnx.load(build.path("grid"))
    first = next(n for n in model.graph.node if n.op_type == "QuantizeLinear")
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    assert constants[first.input[1]] == np.float32(grid.scale)
    assert constants[first.input[2]] == grid.zero_point
    assert constants[first.input[2]].dtype == np.uint8


def test_baking_a_pixel_grid_changes_no_score_and_adds_no_operator(build: Build) -> None:
    before = scores(build.path("grid"), build.forms["grid"].prepare(IMAGES))
    assert np.array_equal(scores(build.path("grid-baked"), IMAGES), before)
    described = RUNTIME.describe(build.path("grid-baked"))
    assert described.input.dtype == "uint8"
    kinds = [o.kind for o in described.operators]
    assert kinds[: kinds.index("QLinearConv")] in ([], ["Transpose"])
    assert not {"QuantizeLinear", "DequantizeLinear", "Cast", "Mul"} & set(kinds)
    assert {o.precision for o in described.operators} == {"int8"}


def test_a_baked_float_model_takes_raw_pixels(build: Build) -> None:
    found = scores(build.path("float-baked"), IMAGES)
    expected = torch_scores(build, build.forms["float"])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_channels_normalised_apart_are_normalised_in_float(build: Build) -> None:
    form = build.forms["imagenet"]
    assert (form.mean, form.std) == (IMAGENET.mean, IMAGENET.std)
    before = scores(build.path("imagenet"), form.prepare(IMAGES))
    after = scores(build.path("imagenet-baked"), IMAGES)
    # A pixel on a rounding tie may fall to the other side: the sums differ in the last bit.
    assert np.linalg.norm(after - before) < 0.05 * np.linalg.norm(before)
    kinds = [o.kind for o in RUNTIME.describe(build.path("imagenet-baked")).operators]
    assert kinds[:3] == ["Cast", "Mul", "Add"]


def test_labels_and_preprocessing_are_read_from_the_session(build: Build) -> None:
    session = ort.InferenceSession(build.path("grid-baked"))
    found = session.get_modelmeta().custom_metadata_map
    assert json.loads(found["labels"]) == list(LABELS)
    about = json.loads(found["edgekit"])
    assert (about["image_size"], about["crop_pct"], about["classes"]) == (SIZE, 0.9, list(LABELS))
    assert (about["layout"], about["colour"], about["dtype"]) == ("NHWC", "RGB", "uint8")
    assert about["mean"] == list(build.forms["grid"].mean)


def test_the_average_gives_ranges_of_its_own(
    build: Build, capfd: pytest.CaptureFixture[str]
) -> None:
    build.quantize("average", ALIKE, "moving_average")
    assert capfd.readouterr() == ("", "")
    assert ranges(build.path("average")) != ranges(build.path("grid"))


def ranges(path: Path) -> dict[str, float]:
    constants = onnx.load(path).graph.initializer
    found = {i.name: onnx.numpy_helper.to_array(i) for i in constants}
    return {n: float(v) for n, v in found.items() if n.endswith("_scale") and v.ndim == 0}


def test_exporter_and_quantiser_print_nothing(build: Build) -> None:
    assert build.terminal.getvalue() == ""


def test_progress_counts_every_calibration_image(build: Build) -> None:
    done = [d for d, total, what in build.seen if what == "calibrating" and total == len(DULL)]
    assert done[: len(DULL)] == list(range(1, len(DULL) + 1))


@pytest.mark.parametrize("name", ["float", "grid", "grid-baked", "imagenet-baked"])
def test_multiply_accumulates_are_those_of_the_torch_model(build: Build, name: str) -> None:
    described = RUNTIME.describe(build.path(name))
    assert sum(o.macs for o in described.operators) == count_macs(
        build.torch_model, Size.square(SIZE)
    )
    assert all(bool(o.macs) == o.heavy for o in described.operators)


def test_what_runs_between_int8_operators_is_counted(build: Build, tmp_path: Path) -> None:
    whole = RUNTIME.describe(build.path("grid-baked"))
    assert whole.conversions == ()
    assert len(whole.transposes) <= 1  # behind the global pooling
    model = onnx.load(build.path("grid"))
    convolution = [n for n in model.graph.node if n.op_type == "Conv"][3]
    convolution.input[0] = unquantised(model.graph, convolution.input[0])
    onnx.save(model, tmp_path / "broken.onnx")
    assert RUNTIME.describe(tmp_path / "broken.onnx").conversions


def test_a_float_file_keeps_its_input_and_says_what_it_is(build: Build, tmp_path: Path) -> None:
    form = build.forms["imagenet"]
    RUNTIME.bake(build.path("imagenet"), IMAGENET, form, LABELS, tmp_path, "float")
    images = form.prepare(IMAGES)
    expected = scores(build.path("imagenet"), images)
    assert np.array_equal(scores(tmp_path / RUNTIME.file, images), expected)
    found = ort.InferenceSession(tmp_path / RUNTIME.file).get_modelmeta().custom_metadata_map
    assert json.loads(found["edgekit"])["dtype"] == "float32"


def test_integer_scores_are_refused(build: Build, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="float scores"):
        RUNTIME.bake(build.path("grid"), ALIKE, build.forms["grid"], LABELS, tmp_path, "integer")
    assert list(tmp_path.iterdir()) == []


def test_a_convolution_that_does_not_fuse_is_seen(build: Build, tmp_path: Path) -> None:
    model = onnx.load(build.path("grid"))
    convolution = [n for n in model.graph.node if n.op_type == "Conv"][3]
    convolution.input[0] = unquantised(model.graph, convolution.input[0])
    onnx.save(model, tmp_path / "broken.onnx")
    described = RUNTIME.describe(tmp_path / "broken.onnx")
    # The convolution before it has lost its quantised output with it.
    assert convolution.name in described.float_heavy
    assert len(described.float_heavy) == 2


def unquantised(graph: Any, name: str) -> str:
    """The name of the float behind a pair of QuantizeLinear and DequantizeLinear."""
    maker = {output: node for node in graph.node for output in node.output}
    return str(maker[maker[name].input[0]].input[0])


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(EdgekitError, match="cannot load"):
        RUNTIME.describe(tmp_path / "model.onnx")


def test_an_export_that_fails_names_the_operator(tmp_path: Path) -> None:
    from torch import nn

    class Unexportable(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.linalg.eigvals(x[:, :, :8, :8]).real

    with pytest.raises(Unsupported, match="cannot be exported") as caught:
        RUNTIME.compile(Unexportable(), ALIKE, tmp_path, lambda *_: None)
    assert "eig" in str(caught.value.hint)


def test_a_layer_of_one_channel_has_one_scale() -> None:
    def graph(channels: int, scales: int) -> Any:
        from onnx import helper, numpy_helper

        weight = numpy_helper.from_array(np.ones((channels, 2, 7, 7), np.int8), "w")
        scale = numpy_helper.from_array(np.ones(scales, np.float32), "s")
        node = helper.make_node("DequantizeLinear", ["w", "s"], ["x"], axis=0)
        return helper.make_graph([node], "g", [], [], [weight, scale])

    assert _is_per_channel(graph(1, 1))
    assert _is_per_channel(graph(4, 4))
    assert not _is_per_channel(graph(4, 1))


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxslim", None)
    with pytest.raises(MissingPackage, match="onnxslim"):
        RUNTIME.compile(None, ALIKE, tmp_path, lambda *_: None)
