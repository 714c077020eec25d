"""OpenVINO: what is compiled, quantised and baked computes what torch computes."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgekit.agent import agent
from edgekit.data.size import Size
from edgekit.errors import DeviceError, EdgekitError, MissingPackage, Unsupported
from edgekit.models.card import Card
from edgekit.models.timm_models import create
from edgekit.runtimes import _openvino_convert
from edgekit.runtimes.contract.input_form import InputForm, pixel_grid
from edgekit.runtimes.contract.settings import Quantization
from edgekit.runtimes.openvino import OpenVino

loaded_modules: dict[str, Any] = sys.modules
loaded_modules.setdefault("openvino_telemetry", None)
openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")

SIZE = 64
LABELS = ("intact", "hair crack")
RUNTIME = OpenVino()
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(30, 226, (8, 1, 1, 3))
IMAGES = (COLOURS + RNG.integers(-30, 30, (8, SIZE, SIZE, 3))).astype(np.uint8)
"""Noise on a colour: images of noise alone hardly differ once they are averaged."""
DULL = IMAGES // 2 + 40
"""Calibration images without black and white: the pixel grid must not follow their range."""
Triple = tuple[float, float, float]


def card(mean: Triple, std: Triple, arch: str = "mobilenetv4_conv_small") -> Card:
    sizes = {"image_size": SIZE, "crop_pct": 0.9, "parameters": 0, "macs": 0}
    return Card(arch=arch, classes=LABELS, mean=mean, std=std, **sizes)


ALIKE = card((0.45, 0.45, 0.45), (0.25, 0.25, 0.25))
ALIKE_FORM = InputForm(dtype="float32", mean=ALIKE.mean, std=ALIKE.std)
IMAGENET = card((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass
class Build:
    """Everything made from one torch model; conversion is slow, so it happens once."""

    torch_model: Any
    folder: Path
    forms: dict[str, InputForm]
    seen: list[tuple[int, int, str]]

    def path(self, name: str) -> Path:
        return self.folder / name / RUNTIME.file

    def into(self, name: str) -> Path:
        (self.folder / name).mkdir()
        return self.folder / name

    def compile(self, name: str) -> None:
        into = self.into(name)
        self.forms[name] = RUNTIME.compile(self.torch_model, ALIKE, into, self.note)

    def quantize(self, name: str, of: Card, **settings: Any) -> None:
        asked = Quantization(quantizer="nncf", **settings)
        source = self.path("float")
        images = IMAGES if name == "seen" else DULL
        self.forms[name] = RUNTIME.quantize(source, of, images, asked, self.into(name), self.note)

    def bake(self, name: str, of: Card, io: Literal["uint8", "float"] = "uint8") -> str:
        baked = f"{name}-{io}"
        RUNTIME.bake(self.path(name), of, self.forms[name], LABELS, self.into(baked), io)
        return baked

    def note(self, done: int, total: int, what: str) -> None:
        self.seen.append((done, total, what))


def settled(model: Any) -> Any:
    """The untrained model with the statistics of its activations in its normalisations."""
    images = np.repeat(IMAGES, 2, axis=0)
    with torch.no_grad():
        for _ in range(20):
            planes = torch.from_numpy(ALIKE_FORM.prepare(images)).permute(0, 3, 1, 2)
            model.train()(planes)
    return model.eval()


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    torch.manual_seed(0)
    model = settled(create("mobilenetv4_conv_small", len(LABELS)))
    made = Build(model, tmp_path_factory.mktemp("openvino"), {}, [])
    made.compile("float")
    made.quantize("grid", ALIKE)
    made.quantize("imagenet", IMAGENET)
    made.quantize("float16", ALIKE, precision="float16")
    for name, of in (("float", ALIKE), ("grid", ALIKE), ("imagenet", IMAGENET), ("float16", ALIKE)):
        made.bake(name, of)
    return made


def scores(path: Path, images: NDArray[Any]) -> NDArray[Any]:
    run = agent.open_openvino(str(path), 1, True)
    return np.concatenate([run(image[np.newaxis]) for image in images])


def torch_scores(model: Any, form: InputForm) -> NDArray[Any]:
    with torch.no_grad():
        planes = torch.from_numpy(form.prepare(IMAGES)).permute(0, 3, 1, 2)
        return np.asarray(model(planes))


def distance(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Relative to the spread of the scores over images, which is what tells images apart."""
    spread = expected - expected.mean(0)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(spread))


def test_the_float_model_computes_what_torch_computes(build: Build) -> None:
    form = build.forms["float"]
    found = scores(build.path("float"), form.prepare(IMAGES))
    np.testing.assert_allclose(found, torch_scores(build.torch_model, form), rtol=1e-4, atol=1e-3)
    described = RUNTIME.describe(build.path("float"))
    assert described.input.shape == (1, SIZE, SIZE, 3)
    assert (described.input.name, described.input.dtype) == ("image", "float32")
    assert (described.output.name, described.output.shape) == ("scores", (1, 2))
    assert len(described.float_heavy) == 47
    assert not described.per_channel


def test_a_loaded_tensorflow_is_not_asked_about_a_torch_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OpenVINO's question to it fails on Python 3.13, and here on any."""
    stand_in = ModuleType("tensorflow")
    monkeypatch.setitem(sys.modules, "tensorflow", stand_in)
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    converted = _openvino_convert.from_torch(model, ALIKE)
    assert len(converted.outputs) == 1
    assert sys.modules["tensorflow"] is stand_in


def test_multiply_accumulates_are_torchs(build: Build) -> None:
    from edgekit.models.timm_models import count_macs

    for name in ("float", "grid-uint8"):
        operators = RUNTIME.describe(build.path(name)).operators
        assert sum(o.macs for o in operators) == count_macs(build.torch_model, Size.square(SIZE))


def test_the_same_model_gives_the_same_bytes(build: Build) -> None:
    build.compile("float-again")
    build.quantize("grid-again", ALIKE)
    for name in ("float", "grid"):
        for file in (RUNTIME.file, *RUNTIME.companions):
            first, again = (build.folder / n / file for n in (name, f"{name}-again"))
            assert first.read_bytes() == again.read_bytes()


def test_files_hold_no_path_of_this_machine_and_layers_keep_their_names(build: Build) -> None:
    for name in ("float", "grid-uint8"):
        text = build.path(name).read_text()
        assert not [w for w in ("site-packages", "/tmp", "/home", "/work", ".py") if w in text]
    names = {o.name for o in RUNTIME.describe(build.path("float")).operators}
    assert {"blocks.2.0.dw_mid.conv/GroupConvolution", "classifier/MatMul"} <= names


@pytest.mark.parametrize("name", ["grid", "grid-uint8", "imagenet", "imagenet-uint8"])
def test_int8_runs_every_heavy_operator_in_int8(build: Build, name: str) -> None:
    described = RUNTIME.describe(build.path(name))
    assert described.float_heavy == []
    assert described.per_channel
    assert described.conversions == ()
    assert sum(o.heavy and o.precision == "int8" for o in described.operators) == 47


def test_int8_scores_are_close_to_float(build: Build) -> None:
    build.quantize("seen", ALIKE)
    form = build.forms["seen"]
    found = scores(build.path("seen"), form.prepare(IMAGES))
    assert distance(found, torch_scores(build.torch_model, form)) < 0.4


def test_baking_a_pixel_grid_changes_no_score_and_adds_no_operator(build: Build) -> None:
    grid = pixel_grid(ALIKE)
    assert grid is not None
    assert build.forms["grid"] == grid.form
    before = scores(build.path("grid"), build.forms["grid"].prepare(IMAGES))
    assert np.array_equal(scores(build.path("grid-uint8"), IMAGES), before)
    described = RUNTIME.describe(build.path("grid-uint8"))
    assert described.input.dtype == "uint8"
    assert described.operators[0].kind == "Convolution"
    assert {o.precision for o in described.operators} == {"int8"}


@pytest.mark.parametrize("name", ["float", "imagenet"])
def test_other_inputs_are_normalised_inside(build: Build, name: str) -> None:
    form = build.forms[name]
    before = scores(build.path(name), form.prepare(IMAGES))
    after = scores(build.path(f"{name}-uint8"), IMAGES)
    # A pixel on a rounding tie may fall to the other side: the sums differ in the last bit.
    assert np.linalg.norm(after - before) < 0.05 * np.linalg.norm(before)
    assert RUNTIME.describe(build.path(f"{name}-uint8")).input.dtype == "uint8"


def test_float16_is_what_the_file_holds(build: Build) -> None:
    described = RUNTIME.describe(build.path("float16-uint8"))
    assert {o.precision for o in described.operators if o.heavy} == {"float16"}
    whole, half = (build.folder / n / "model.bin" for n in ("float-uint8", "float16-uint8"))
    assert half.stat().st_size < 0.51 * whole.stat().st_size
    expected = torch_scores(build.torch_model, build.forms["float"])
    assert distance(scores(build.path("float16-uint8"), IMAGES), expected) < 0.05


def test_what_nncf_leaves_in_float_is_kept_in_float16(tmp_path: Path) -> None:
    """It takes a squeeze-excite for something that eight bits would break."""
    torch.manual_seed(0)
    layers = torch.nn
    squeeze = layers.Sequential(
        layers.AdaptiveAvgPool2d(1), layers.Conv2d(8, 4, 1), layers.ReLU(),
        layers.Conv2d(4, 8, 1), layers.Sigmoid(),
    )  # fmt: skip

    class Net(layers.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.squeeze = layers.Conv2d(3, 8, 3, 2), squeeze
            self.last = layers.Linear(8, len(LABELS))

        def forward(self, image: Any) -> Any:
            x = self.first(image)
            return self.last((x * self.squeeze(x)).mean((2, 3)))

    for name in ("float", "int8"):
        (tmp_path / name).mkdir()
    RUNTIME.compile(Net().eval(), ALIKE, tmp_path / "float", lambda *_: None)
    source, asked = tmp_path / "float/model.xml", Quantization(quantizer="nncf")
    RUNTIME.quantize(source, ALIKE, IMAGES, asked, tmp_path / "int8", lambda *_: None)
    heavy = [o for o in RUNTIME.describe(tmp_path / "int8/model.xml").operators if o.heavy]
    assert {o.precision for o in heavy} == {"int8", "float16"}
    assert [o.name for o in heavy if o.precision == "float16"] == [
        "squeeze.1/Convolution",
        "squeeze.3/Convolution",
    ]
    images = ALIKE_FORM.prepare(IMAGES)
    assert distance(scores(tmp_path / "int8/model.xml", images), scores(source, images)) < 0.1


def test_float_input_is_left_as_it_is_and_integer_output_refused(build: Build) -> None:
    baked = build.bake("grid", ALIKE, "float")
    form = build.forms["grid"]
    before = scores(build.path("grid"), form.prepare(IMAGES))
    assert np.array_equal(scores(build.path(baked), form.prepare(IMAGES)), before)
    with pytest.raises(Unsupported, match="no quantised output"):
        RUNTIME.bake(build.path("grid"), ALIKE, form, LABELS, build.folder, "integer")


def test_labels_and_preprocessing_are_read_from_the_model(build: Build) -> None:
    model = openvino.Core().read_model(build.path("grid-uint8"))
    about = json.loads(model.get_rt_info(["edgekit", "preprocessing"]).value)
    assert about["classes"] == list(LABELS)
    assert (about["image_size"], about["crop_pct"], about["dtype"]) == (SIZE, 0.9, "uint8")
    assert about["mean"] == list(build.forms["grid"].mean)
    assert model.get_rt_info(["model_info", "labels"]).value == "intact hair_crack"


def test_nncf_draws_nothing_on_the_terminal(build: Build) -> None:
    terminal = io.StringIO()
    with contextlib.redirect_stdout(terminal), contextlib.redirect_stderr(terminal):
        build.quantize("quiet", IMAGENET, float_ops=("classifier/MatMul",))
    assert terminal.getvalue() == ""


def test_weights_may_share_one_scale(build: Build) -> None:
    build.quantize("per-tensor", ALIKE, per_channel=False)
    assert not RUNTIME.describe(build.path("per-tensor")).per_channel


def test_progress_counts_every_calibration_image(build: Build) -> None:
    done = [d for d, total, what in build.seen if what == "calibrating" and total == len(DULL)]
    assert done[: len(DULL)] == list(range(1, len(DULL) + 1))


@pytest.fixture(scope="module")
def attention(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("attention")
    model = create("efficientvit_b0", len(LABELS))
    RUNTIME.compile(model, ALIKE, folder, lambda *_: None)
    return folder / RUNTIME.file


def test_the_island_of_linear_attention_is_found_and_stays_in_float(
    attention: Path, tmp_path: Path
) -> None:
    float_ops = RUNTIME.float_ops(attention)
    divisions = [name for name in float_ops if name.endswith("/Divide")]
    assert len(divisions) == 4
    assert not [name for name in float_ops if "Convolution" in name]
    assert all(".context_module.main" in name for name in float_ops)
    asked = Quantization(quantizer="nncf", float_ops=float_ops)
    RUNTIME.quantize(attention, ALIKE, DULL, asked, tmp_path, lambda *_: None)
    described = RUNTIME.describe(tmp_path / RUNTIME.file)
    products = [o.name for o in described.operators if o.kind == "MatMul"]
    assert sorted(described.float_heavy) == sorted(products)
    assert len(products) == 8


def test_islands_that_do_not_exist_are_an_error(build: Build, tmp_path: Path) -> None:
    asked = Quantization(quantizer="nncf", float_ops=("blocks.9/Divide",))
    with pytest.raises(EdgekitError, match=r"blocks\.9/Divide"):
        RUNTIME.quantize(build.path("float"), ALIKE, DULL, asked, tmp_path, lambda *_: None)


class Pieces(torch.nn.Module):
    """Softmax, LayerNorm and an L2 norm written out: divisions that are no linear attention."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 8, 8)
        self.head = torch.nn.Linear(8, len(LABELS))

    def forward(self, image: Any) -> Any:
        x = self.stem(image).flatten(2).transpose(1, 2)
        weights = torch.exp(x @ x.transpose(1, 2) / 8)
        x = (weights / weights.sum(-1, keepdim=True)) @ x
        centred = x - x.mean(-1, keepdim=True)
        x = centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + 1e-6)
        x = x / (x * x).sum(-1, keepdim=True).sqrt()
        return self.head(x.mean(1))


def test_no_island_is_seen_where_there_is_none(build: Build, tmp_path: Path) -> None:
    assert RUNTIME.float_ops(build.path("float")) == ()
    RUNTIME.compile(Pieces().eval(), ALIKE, tmp_path, lambda *_: None)
    model = openvino.Core().read_model(tmp_path / RUNTIME.file)
    assert "Divide" in {op.get_type_name() for op in model.get_ops()}
    assert RUNTIME.float_ops(tmp_path / RUNTIME.file) == ()


def small() -> Any:
    """Exporting to ONNX takes its time, by the layer."""
    torch.manual_seed(0)
    layers = torch.nn
    return layers.Sequential(
        *(layers.Conv2d(3, 16, 3, 2), layers.ReLU6(), layers.Conv2d(16, 16, 3), layers.ReLU6()),
        *(layers.AdaptiveAvgPool2d(1), layers.Flatten(), layers.Linear(16, len(LABELS))),
    ).eval()


def test_an_int8_onnx_file_is_adopted(tmp_path: Path) -> None:
    pytest.importorskip("onnxslim")
    from edgekit.runtimes.onnxruntime import OnnxRuntime

    other = OnnxRuntime()
    for name in ("onnx", "int8", "adopted", "baked"):
        (tmp_path / name).mkdir()
    other.compile(small(), ALIKE, tmp_path / "onnx", lambda *_: None)
    asked = Quantization(quantizer="onnxruntime")
    source = tmp_path / "onnx" / other.file
    form = other.quantize(source, ALIKE, DULL, asked, tmp_path / "int8", lambda *_: None)
    RUNTIME.take_over(tmp_path / "int8" / other.file, tmp_path / "adopted")
    RUNTIME.bake(tmp_path / "adopted" / RUNTIME.file, ALIKE, form, LABELS, tmp_path / "baked")
    described = RUNTIME.describe(tmp_path / "baked" / RUNTIME.file)
    assert described.float_heavy == []
    assert described.per_channel
    assert described.operators[0].kind == "Convolution"
    text = (tmp_path / "baked" / RUNTIME.file).read_text()
    assert str(tmp_path) not in text
    assert "VNNI or AMX (8-bit weights)" in text
    run = agent.open_onnxruntime(str(tmp_path / "int8" / other.file), 1, True)
    expected = np.concatenate([run(form.prepare(i[np.newaxis])) for i in IMAGES])
    assert distance(scores(tmp_path / "baked" / RUNTIME.file, IMAGES), expected) < 0.3


def test_a_float_onnx_file_in_nchw_is_compiled(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    model = small()
    example = torch.zeros(1, 3, SIZE, SIZE)
    file = tmp_path / "planes.onnx"
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(model, (example,), file, dynamo=True, external_data=False)
    form = RUNTIME.compile(file, ALIKE, tmp_path, lambda *_: None)
    found = scores(tmp_path / RUNTIME.file, form.prepare(IMAGES))
    np.testing.assert_allclose(found, torch_scores(model, form), rtol=1e-4, atol=1e-3)
    assert str(tmp_path) not in (tmp_path / RUNTIME.file).read_text()
    other_size = ALIKE.model_copy(update={"image_size": Size.square(48)})
    with pytest.raises(Unsupported, match="48x48"):
        RUNTIME.compile(file, other_size, tmp_path, lambda *_: None)


def test_a_keras_file_is_compiled(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(8, 3, strides=2)(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU(6.0)(x))
    model = keras.Model(image, keras.layers.Dense(len(LABELS))(x))
    model.save(tmp_path / "source.keras")
    found = []
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        form = RUNTIME.compile(tmp_path / "source.keras", ALIKE, tmp_path / name, lambda *_: None)
        found.append((tmp_path / name / RUNTIME.file).read_bytes())
    prepared = form.prepare(IMAGES)
    result = scores(tmp_path / "first" / RUNTIME.file, prepared)
    np.testing.assert_allclose(result, model(prepared).numpy(), rtol=1e-4, atol=1e-5)
    assert found[0] == found[1]
    assert str(tmp_path).encode() not in found[0]


def test_an_operator_that_is_not_known_is_named(tmp_path: Path) -> None:
    class Unknown(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.linalg.eigvals(x[:, 0, :8, :8]).real

    with pytest.raises(Unsupported, match="cannot be converted") as caught:
        RUNTIME.compile(Unknown(), ALIKE, tmp_path, lambda *_: None)
    assert "aten::linalg_eigvals" in str(caught.value.hint)


def save(folder: Path, shape: list[int], dtype: str = "float32") -> Path:
    ops = openvino.opset13
    image = ops.parameter(shape, openvino.Type(np.dtype(dtype)), "image")
    image.set_friendly_name("image")
    model = openvino.Model([ops.relu(image)], [image])
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"


def test_refusals_name_what_a_device_does_not_take(build: Build, tmp_path: Path) -> None:
    for name in ("float", "grid-uint8", "float16-uint8"):
        assert RUNTIME.unsupported_reasons(build.path(name), "NPU", None) == ()
    dynamic = RUNTIME.unsupported_reasons(save(tmp_path, [1, -1, 8, 3]), "CPU", None)
    assert "image" in dynamic[0]
    assert "[1,?,8,3]" in dynamic[0]
    wide = save(tmp_path, [1, 8, 8, 3], "float64")
    assert RUNTIME.unsupported_reasons(wide, "CPU", None) == ()
    assert "does not compute in f64" in RUNTIME.unsupported_reasons(wide, "NPU", None)[0]


@pytest.mark.parametrize("device", ["AUTO", "AUTO:NPU,CPU", "HETERO:NPU,CPU", "MULTI:CPU"])
def test_a_device_that_may_be_any_is_refused(build: Build, device: str) -> None:
    model = {"runtime": "openvino", "path": str(build.path("float")), "device": device}
    with pytest.raises(RuntimeError, match="may run the model anywhere"):
        agent.open_model(model, 1)


def test_another_device_than_the_asked_one_is_refused(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = openvino.Core()
    compiled = core.compile_model(build.path("float"), "CPU")
    # A runtime that falls back without a word: what is asked for runs on the CPU all the same.
    monkeypatch.setattr(openvino.Core, "compile_model", lambda *_: compiled)
    with pytest.raises(RuntimeError, match="asked for NPU, OpenVINO runs on CPU"):
        agent.open_openvino(str(build.path("float")), 1, False, "NPU")


def test_a_blob_is_what_the_device_runs_and_says_whose_it_is(build: Build, tmp_path: Path) -> None:
    # On the CPU, whose plug-in exports as the NPU's does.
    facts = RUNTIME.precompile(build.path("grid-uint8"), "CPU", tmp_path)
    assert facts["FULL_DEVICE_NAME"]
    assert facts["NPU_DRIVER_VERSION"].startswith("not available: ")
    assert RUNTIME.blob
    core = openvino.Core()
    loaded = core.import_model((tmp_path / RUNTIME.blob).read_bytes(), "CPU")
    # By its own kernels, whose sums may saturate here.
    compiled = core.compile_model(build.path("grid-uint8"), "CPU")
    np.testing.assert_allclose(loaded([IMAGES[:1]])[0], compiled([IMAGES[:1]])[0], atol=1e-3)


def test_a_device_that_cannot_compile_says_why(build: Build, tmp_path: Path) -> None:
    if "NPU" in openvino.Core().available_devices:
        pytest.skip("this machine has an NPU, which takes the file")
    with pytest.raises(DeviceError, match="the NPU cannot compile"):
        RUNTIME.precompile(build.path("grid-uint8"), "NPU", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_reported_to_the_maker() -> None:
    from nncf.telemetry import telemetry
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub"
    assert type(telemetry).__module__ == "unittest.mock"


def signal_stack() -> int | None:
    """Where the main thread handles its signals; a freed place ends the process at the next one."""

    class Stack(ctypes.Structure):
        _fields_ = (("at", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    at: int | None = stack.at
    return at


def test_ctrl_c_can_be_handled_at_any_time(build: Build, tmp_path: Path) -> None:
    RUNTIME.describe(build.path("float"))
    before, seen = signal_stack(), set()
    RUNTIME.quantize(
        build.path("float"),
        ALIKE,
        DULL,
        Quantization(quantizer="nncf"),
        tmp_path,
        lambda *_: seen.add(signal_stack()),
    )
    RUNTIME.describe(tmp_path / RUNTIME.file)
    gc.collect()
    assert {*seen, signal_stack()} == {before}


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes(b"not a model")
    with pytest.raises(EdgekitError, match="cannot load"):
        RUNTIME.describe(tmp_path / "model.xml")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingPackage, match="openvino"):
        RUNTIME.compile(None, ALIKE, tmp_path, lambda *_: None)
