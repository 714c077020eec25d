"""What every operator made, in all runtimes: real values, by the float file's names, in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import stats
from edgekit.errors import EdgekitError, InputError
from tests.runtimes.tiny import IMAGENET, IMAGES, Made, card, made, network

torch = pytest.importorskip("torch")
NEEDS = {"onnxruntime": "onnxslim", "litert": "litert_torch", "openvino": "nncf"}
EXTRA = ("_shifted", "_cut")
"""What hard-sigmoid is written as in front of ONNX Runtime's quantiser."""


@pytest.fixture(scope="module", params=sorted(NEEDS))
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    pytest.importorskip(NEEDS[request.param])
    result = made(request.param, tmp_path_factory.mktemp(request.param), network(), card())
    for quantizer in result.runtime.quantizers:
        result.quantize(quantizer, quantizer=quantizer)
        result.bake(quantizer)
    result.bake("float")
    return result


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """Torch's own values: the first activation, NHWC, and the scores."""
    model = network()
    found: dict[str, Any] = {}
    model.relu.register_forward_hook(lambda _, __, out: found.update(relu=out))
    planes = torch.from_numpy((IMAGES / 127.5 - 1).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        scores = model(planes)
    return {"relu": found["relu"].permute(0, 2, 3, 1).numpy(), "scores": scores.numpy()}


def nhwc(value: Any) -> Any:
    return value.transpose(0, 2, 3, 1) if value.ndim == 4 and value.shape[1] == 8 else value


def scores(maps: list[dict[str, Any]]) -> Any:
    return np.concatenate([list(image.values())[-1] for image in maps])


def test_the_float_file_makes_what_torch_makes(build: Made, expected: dict[str, Any]) -> None:
    found = build.tensors("float")
    assert len(found) == len(IMAGES)
    np.testing.assert_allclose(scores(found), expected["scores"], rtol=1e-4, atol=1e-5)
    first = next(iter(found[0].values()))
    np.testing.assert_allclose(first, IMAGES[:1] / 127.5 - 1, atol=1e-6)
    for made_, want in zip(found, expected["relu"], strict=True):
        values = [nhwc(v)[0] for v in made_.values() if nhwc(v)[0].shape == want.shape]
        assert any(np.allclose(v, want, rtol=1e-4, atol=1e-5) for v in values)


def test_islands_know_their_share_of_the_work(build: Made) -> None:
    """Under the very names by which they are kept in float."""
    path = build.path("float")
    macs = {each.written: each.macs for each in build.runtime.describe(path).operators}
    layers = {a.operator for a in build.runtime.activations(path) if a.has_weights}
    assert len(layers) == 3
    assert all(macs[name] for name in layers)
    assert sum(macs[name] for name in layers) == sum(macs.values())


def test_only_what_depends_on_the_image_is_told(build: Made) -> None:
    one, other = build.tensors("float", IMAGES[:2])
    assert all(not np.array_equal(one[name], other[name]) for name in one)


def test_an_int8_file_tells_what_its_codes_stand_for(build: Made, expected: dict[str, Any]) -> None:
    original = build.tensors("float")[0]
    for quantizer in build.runtime.quantizers:
        found = build.tensors(quantizer)
        unknown = {name for name in found[0] if name not in original}
        assert all(name.endswith(EXTRA) for name in unknown)
        assert {n: v.shape for n, v in found[0].items() if n in original}.items() <= {
            n: v.shape for n, v in original.items()
        }.items()
        assert 20 < stats.sqnr_db(expected["scores"], scores(found)) < 80
        activations = [v for v in found[0].values() if nhwc(v).shape == (1, 16, 16, 8)]
        codes = min(len(np.unique(v)) for v in activations)
        assert 16 < codes <= 256
        assert all(v.dtype == np.float32 for v in found[0].values())


def test_a_baked_file_makes_the_same_of_raw_pixels(build: Made) -> None:
    for name in build.runtime.quantizers:
        for before, after in zip(build.tensors(name), build.tensors(f"{name}-baked"), strict=True):
            shared = before.keys() & after.keys()
            assert len(shared) >= len(before) - 1  # the image itself may be codes all the way
            for tensor in shared:
                np.testing.assert_allclose(after[tensor], before[tensor], rtol=1e-4, atol=1e-4)


def test_normalisation_in_front_gives_the_image(build: Made) -> None:
    before, after = build.tensors("float"), build.tensors("float-baked")
    for one, other in zip(before, after, strict=True):
        assert one.keys() <= other.keys()
        for name, value in one.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-4, atol=1e-4)


def test_channels_that_are_normalised_apart(build: Made, tmp_path: Any) -> None:
    """The input is no grid of pixels then: normalisation and a quantiser stand in front."""
    apart = made(build.runtime.name, tmp_path, network(), card(*IMAGENET))
    apart.quantize("int8")
    apart.bake("int8")
    original, found = apart.tensors("float"), apart.tensors("int8-baked")
    assert stats.sqnr_db(scores(original), scores(found)) > 20
    image = next(iter(original[0]))
    one, other = original[0][image].reshape(1, -1), found[0][image].reshape(1, -1)
    assert stats.sqnr_db(one, other) > 35


def test_images_of_another_size_are_refused(build: Made) -> None:
    with pytest.raises(InputError, match=r"takes images of shape .*32.* was given .*16"):
        build.tensors("float", IMAGES[:, :16, :16])


def test_a_file_that_is_none_is_refused(build: Made, tmp_path: Any) -> None:
    path = tmp_path / build.runtime.file
    path.write_bytes(b"no model at all")
    with pytest.raises(EdgekitError, match=build.runtime.file):
        list(build.runtime.tensors(path, build.forms["float"], IMAGES))


def test_activations_tell_who_made_each_tensor_and_of_what(build: Made) -> None:
    for name in ("float", *build.runtime.quantizers):
        told = build.runtime.activations(build.path(name))
        given = build.tensors(name, IMAGES[:1])[0]
        names = [activation.name for activation in told]
        assert [each for each in names if each in given] == list(given)
        assert [activation.kind for activation in told].count("input") == 1
        for i, activation in enumerate(told):
            assert set(activation.inputs) <= set(names[:i])
        assert sum(activation.has_weights for activation in told) == 3
        coded = [activation for activation in told if activation.step is not None]
        assert bool(coded) == (name != "float")


def test_what_codes_can_stand_for_holds_what_they_stood_for(build: Made) -> None:
    for name in build.runtime.quantizers:
        given = build.tensors(name)
        for activation in build.runtime.activations(build.path(name)):
            if activation.low is None or activation.high is None or activation.step is None:
                continue
            assert activation.step == pytest.approx((activation.high - activation.low) / 255)
            values = np.concatenate([image[activation.name].ravel() for image in given])
            slack = activation.step / 100
            assert activation.low - slack <= values.min()
            assert values.max() <= activation.high + slack
            codes = (values - activation.low) / activation.step
            np.testing.assert_allclose(codes, np.rint(codes), atol=1e-2)


def test_weights_are_what_their_codes_stand_for(build: Made) -> None:
    original = build.runtime.weights(build.path("float"))
    model = network()
    expected = sorted(float(w.detach().abs().sum()) for w in model.parameters() if w.ndim > 1)
    np.testing.assert_allclose(sorted(abs(w).sum() for w in original.values()), expected, rtol=1e-4)
    for name in build.runtime.quantizers:
        found = build.runtime.weights(build.path(name))
        assert found.keys() == original.keys()
        for operator, weights in original.items():
            one, other = weights.reshape(1, -1), found[operator].reshape(1, -1)
            assert 30 < stats.sqnr_db(one, other) < 70
        makers = {a.operator for a in build.runtime.activations(build.path(name)) if a.has_weights}
        assert makers == found.keys()
