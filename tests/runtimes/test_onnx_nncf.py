"""NNCF's file is fast in ONNX Runtime: shown by what runs in int8, not by a clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import Unsupported
from edgekit.models.card import Card
from edgekit.models.timm_models import create
from edgekit.runtimes import _onnx_nncf
from edgekit.runtimes.contract.description import Description
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.runtimes.contract.settings import Quantization
from edgekit.runtimes.onnxruntime import OnnxRuntime

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
nncf = pytest.importorskip("nncf")
pytest.importorskip("onnxslim")
pytest.importorskip("onnxscript")

SIZE = 64
RUNTIME = OnnxRuntime()
IMAGES = np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3), np.uint8)
HALF = (0.5, 0.5, 0.5)
CARD = Card(
    arch="mobilenetv4_conv_small",
    classes=("intact", "cracked"),
    image_size=SIZE,
    mean=HALF,
    std=HALF,
    crop_pct=1.0,
    parameters=0,
    macs=0,
)


@dataclass
class Build:
    folder: Path
    form: InputForm

    def path(self, name: str) -> Path:
        return self.folder / name / RUNTIME.file

    def describe(self, name: str) -> Description:
        return RUNTIME.describe(self.path(name))


def quantize(source: Path, into: Path, **settings: Any) -> InputForm:
    into.mkdir()
    asked = Quantization(quantizer="nncf", **settings)
    return RUNTIME.quantize(source, CARD, IMAGES, asked, into, lambda *_: None)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("nncf")
    (folder / "float").mkdir()
    RUNTIME.compile(create(CARD.arch, 2), CARD, folder / "float", lambda *_: None)
    form = quantize(folder / "float" / RUNTIME.file, folder / "ours")
    return Build(folder, form)


def scores(path: Path, images: Any) -> Any:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["scores"], {"image": i[None]})[0] for i in images])


def test_nncfs_own_settings_leave_convolutions_in_float(build: Build, tmp_path: Path) -> None:
    source = onnx.load(build.path("float"))
    data = nncf.Dataset([{"image": build.form.prepare(i[None])} for i in IMAGES])
    onnx.save(nncf.quantize(source, data, subset_size=len(IMAGES)), tmp_path / "plain.onnx")
    plain, ours = RUNTIME.describe(tmp_path / "plain.onnx"), build.describe("ours")
    convolutions = build.describe("float").count()["Conv float32"]
    assert plain.count()["QLinearConv int8"] < convolutions * 0.75
    assert len(plain.conversions) > convolutions
    assert ours.count()["QLinearConv int8"] == convolutions
    assert (ours.float_heavy, ours.conversions, ours.per_channel) == ([], (), True)


def test_unsigned_codes_change_no_score(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_onnx_nncf, "unsign_activations", lambda graph: None)
    quantize(build.path("float"), tmp_path / "signed")
    images = build.form.prepare(IMAGES)
    signed = scores(tmp_path / "signed" / RUNTIME.file, images)
    unsigned = scores(build.path("ours"), images)
    # Convolutions that run in float do not round their sums alike.
    assert np.linalg.norm(unsigned - signed) < 0.1 * np.linalg.norm(signed)


def test_a_baked_file_takes_the_pixels_as_codes(build: Build) -> None:
    (build.folder / "baked").mkdir()
    RUNTIME.bake(build.path("ours"), CARD, build.form, CARD.classes, build.folder / "baked")
    expected = scores(build.path("ours"), build.form.prepare(IMAGES))
    assert np.array_equal(scores(build.path("baked"), IMAGES), expected)
    assert {o.precision for o in build.describe("baked").operators} == {"int8"}


def test_nothing_is_printed(
    build: Build, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    quantize(build.path("float"), tmp_path / "quiet", calibration="moving_average")
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "quiet" / RUNTIME.file).read_bytes() != build.path("ours").read_bytes()


def test_weights_share_one_scale_when_asked(build: Build, tmp_path: Path) -> None:
    quantize(build.path("float"), tmp_path / "whole", per_channel=False)
    assert not RUNTIME.describe(tmp_path / "whole" / RUNTIME.file).per_channel


def test_ranges_from_elsewhere_are_refused(build: Build, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="nncf takes no ranges"):
        quantize(build.path("float"), tmp_path / "given", ranges={"image": (0.0, 1.0)})
