"""Real files of tiny networks, broken in the ways int8 breaks them: the place and the cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.errors import InputError
from edgekit.inspection.causes import KEEP_IN_FLOAT, find_causes
from edgekit.inspection.layerwise import inspect_files
from edgekit.inspection.tensor_report import Inspection
from edgekit.quantization import ranges
from tests.runtimes.tiny import IMAGES, LABELS, Made, card, made, network

pytest.importorskip("onnxslim")


def sensitive() -> Any:
    """The network without the biases that drown what an image adds to the scores."""
    model = network()
    with torch.no_grad():
        for layer in (model.second, model.head):
            layer.bias.zero_()
    return model


def inspect(build: Made, name: str) -> Inspection:
    files = build.path("float"), build.forms["float"], build.path(name), build.forms[name]
    return inspect_files(build.runtime, *files, IMAGES)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Made:
    result = made("onnxruntime", tmp_path_factory.mktemp("tiny"), sensitive(), card())
    result.quantize("int8")
    result.bake("int8")
    seen = ranges.collect(iter(result.tensors("float")))
    narrow = {name: ranges.choose(held, "percentile", 51) for name, held in seen.items()}
    result.quantize("clipped", ranges=narrow)
    return result


def test_a_file_against_itself_loses_nothing(build: Made) -> None:
    found = inspect(build, "float")
    assert {tensor.sqnr_db for tensor in found.tensors} == {140}
    assert found.is_sound
    assert found.wrong == ()
    assert found.fused == 0


@pytest.mark.parametrize("name", ["int8", "int8-baked"])
def test_a_sound_file_is_told_tensor_by_tensor(build: Made, name: str) -> None:
    found = inspect(build, name)
    assert found.is_sound
    assert found.images == len(IMAGES)
    assert found.per_channel
    assert find_causes(found) == ()
    kinds = [tensor.kind for tensor in found.tensors]
    assert kinds[-1] in ("Gemm", "MatMul", "Flatten")
    assert "Conv" in kinds
    assert sum(tensor.share_added for tensor in found.tensors) == pytest.approx(1, abs=0.02)
    names = [tensor.name for tensor in found.tensors]
    for i, tensor in enumerate(found.tensors):
        assert set(tensor.inputs) <= set(names[:i])
        assert tensor.codes_db is None or tensor.codes_db > 20
    layers = [tensor for tensor in found.tensors if tensor.weights_db is not None]
    assert all(30 < tensor.weights_db < 60 for tensor in layers if tensor.weights_db is not None)
    assert len(layers) >= 3


@pytest.mark.parametrize("name", ["litert", "openvino"])
def test_the_other_runtimes_are_told_alike(name: str, tmp_path: Path) -> None:
    pytest.importorskip({"litert": "litert_torch", "openvino": "nncf"}[name])
    build = made(name, tmp_path, network(), card())
    build.quantize("int8")
    found = inspect(build, "int8")
    assert found.is_sound
    assert sum(tensor.share_added for tensor in found.tensors) == pytest.approx(1, abs=0.02)
    assert {tensor.channels for tensor in found.tensors} >= {3, 8}
    assert sum(tensor.weights_db is not None for tensor in found.tensors) >= 3
    assert any(tensor.codes_db is not None for tensor in found.tensors)


def test_ranges_that_clip_ask_for_another_calibration(build: Made) -> None:
    found = inspect(build, "clipped")
    assert not found.is_sound
    first = found.wrong[0]
    assert first.cause == "codes"
    assert first.clipped is not None
    assert first.clipped > 0.05
    assert any("another quantize.calibration" in finding.fix for finding in find_causes(found))


def chain(factors: Any) -> Any:
    """The network without its residual, the channels of its first layer that many times larger,
    which the second takes back: in float it is the same network."""
    model = sensitive()
    with torch.no_grad():
        model.first.weight *= factors.reshape(-1, 1, 1, 1)
        model.first.bias *= factors
        model.second.weight /= factors.reshape(1, -1, 1, 1)

    def forward(image: Any) -> Any:
        return model.head(model.swish(model.second(model.relu(model.first(image)))).mean((2, 3)))

    model.forward = forward
    return model


def test_one_scale_for_uneven_channels_asks_for_one_each(tmp_path: Path) -> None:
    build = made("onnxruntime", tmp_path, chain(torch.logspace(0, 4, 8)), card())
    build.quantize("one", per_channel=False)
    found = inspect(build, "one")
    assert not found.per_channel
    assert not found.is_sound
    layer = next(tensor for tensor in found.tensors if tensor.weights_db is not None)
    assert layer.dead > 0
    assert any("per_channel" in finding.fix for finding in find_causes(found))


def test_channels_that_were_rescaled_on_purpose_are_no_loss(tmp_path: Path) -> None:
    plain = made("onnxruntime", tmp_path / "plain", chain(torch.ones(8)), card())
    equalised = made("onnxruntime", tmp_path / "equalised", chain(torch.logspace(-1, 1, 8)), card())
    equalised.quantize("int8")
    name = equalised.path("int8"), equalised.forms["int8"]
    files = plain.runtime, plain.path("float"), plain.forms["float"], *name, IMAGES
    strict, fair = (inspect_files(*files, rescaled=rescaled) for rescaled in (False, True))
    assert strict.sqnr_db == fair.sqnr_db
    assert min(tensor.sqnr_db for tensor in strict.tensors) < 5
    assert min(tensor.sqnr_db for tensor in fair.tensors) > 20
    assert all(tensor.weights_db is None for tensor in fair.tensors)


def attention() -> Any:
    """Linear attention whose sums of products span powers of ten, as trained ones do."""

    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = torch.nn.Conv2d(3, 24, 3, stride=2, padding=1)
            self.proj = torch.nn.Conv2d(8, 8, 1)
            self.head = torch.nn.Linear(8, len(LABELS))

        def forward(self, image: Any) -> Any:
            q, k, v = self.qkv(image).flatten(2).chunk(3, dim=1)
            q, k = torch.relu(q) ** 3, torch.relu(k) ** 3
            v = torch.cat([v, torch.ones_like(v[:, :1])], dim=1)
            out = (v @ k.transpose(1, 2)) @ q
            out = out[:, :-1] / (out[:, -1:] + 1e-6)
            return self.head(self.proj(out.reshape(1, 8, 16, 16)).mean((2, 3)))

    torch.manual_seed(0)
    model = Linear().eval()
    with torch.no_grad():
        model.qkv.weight *= 8
    return model


def test_the_division_of_linear_attention_is_named_with_its_mend(tmp_path: Path) -> None:
    build = made("onnxruntime", tmp_path, attention(), card())
    build.quantize("int8")
    float_ops = build.runtime.float_ops(build.path("float"))
    assert float_ops
    found = inspect(build, "int8")
    assert not found.is_sound
    assert found.wrong[0].operator in float_ops
    finding = next(f for f in find_causes(found) if f.fix == KEEP_IN_FLOAT)
    assert set(finding.operators) <= {*float_ops}

    build.quantize("kept", float_ops=float_ops)
    assert inspect(build, "kept").sqnr_db > found.sqnr_db + 6


def test_files_of_two_networks_are_refused(build: Made, tmp_path: Path) -> None:
    other = made("onnxruntime", tmp_path, attention(), card())
    files = other.path("float"), other.forms["float"], build.path("int8"), build.forms["int8"]
    with pytest.raises(InputError, match="was not made from"):
        inspect_files(build.runtime, *files, IMAGES)


def test_images_of_another_size_are_refused(build: Made) -> None:
    files = build.path("float"), build.forms["float"], build.path("int8"), build.forms["int8"]
    with pytest.raises(InputError, match="takes images of shape"):
        inspect_files(build.runtime, *files, np.zeros((1, 8, 8, 3), np.uint8))
