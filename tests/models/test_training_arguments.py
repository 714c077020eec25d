"""How a checkpoint's images were prepared."""

from typing import Any

import numpy as np
import pytest
import timm
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform, resolve_data_config

from edgekit.data.framing import Framing
from edgekit.data.size import Size
from edgekit.models.training_arguments import PREPARATION, SIZES, trained_images
from tests.mutations import ODD_VALUES, fuzz

NONE: dict[str, Any] = dict.fromkeys(SIZES | PREPARATION)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"img_size": 96, "crop_pct": 0.9, "interpolation": "nearest"},
        {"input_size": [3, 64, 96], "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5]},
    ],
)
@pytest.mark.parametrize("arch", ["resnet18", "mobilenetv4_conv_small.e2400_r224_in1k"])
def test_they_are_what_timm_makes_of_its_arguments(arch: str, said: dict[str, Any]) -> None:
    found = trained_images(NONE | said, arch)
    config = timm.get_pretrained_cfg(arch)
    assert found
    assert config
    timms = resolve_data_config(NONE | said, config.to_dict())
    size = Size(*timms["input_size"][1:])
    interpolation = timms["interpolation"]
    assert found.framing == Framing(size, timms["crop_pct"], "crop", interpolation, "as_stored")
    assert not found.unmet
    assert found.mean in (None, timms["mean"])
    assert found.std in (None, timms["std"])


@fuzz
@given(st.dictionaries(st.sampled_from([*sorted(NONE), "crop_mode"]), st.sampled_from(ODD_VALUES)))
def test_odd_arguments_say_nothing_or_what_a_recipe_takes(odd: dict[str, Any]) -> None:
    found = trained_images(NONE | odd, "resnet18")
    assert found is None or 16 <= found.framing.size.height <= 2048
    assert found is None or 0 < found.framing.crop_pct <= 1
    assert found is None or all(len(words) < 200 for words in found.unmet.values())


@pytest.mark.parametrize("missing", ["img_size", "input_size"])
def test_one_of_the_sizes_may_be_missing(missing: str) -> None:
    said = NONE | {"img_size": 96, "input_size": [3, 96, 96]}
    del said[missing]
    found = trained_images(said, "resnet18")
    assert found
    assert found.framing.size == Size(96, 96)


def test_arguments_of_another_program_say_nothing() -> None:
    assert trained_images({"img_size": 96}, "resnet18") is None


PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 130, 3), np.uint8))


@pytest.mark.parametrize(
    "said",
    [
        {"crop_mode": "squash", "crop_pct": 1.0},
        {"crop_mode": "border", "crop_pct": 1.0, "mean": [0.0, 0.0, 0.0]},
        {"crop_mode": "center", "crop_pct": 0.9, "interpolation": "lanczos"},
    ],
)
def test_photos_are_framed_as_timm_frames_them(said: dict[str, Any]) -> None:
    arguments = NONE | {"img_size": 48} | said
    found = trained_images(arguments, "resnet18")
    config = timm.get_pretrained_cfg("resnet18")
    assert found
    assert config
    assert not found.unmet
    timms = create_transform(
        **resolve_data_config(arguments, config.to_dict()), is_training=False, normalize=False
    )
    theirs = timms(PHOTO).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(np.asarray(found.framing.apply(PHOTO)), theirs)


@pytest.mark.parametrize(
    ("said", "fit", "unmet"),
    [
        ({"crop_mode": "border", "crop_pct": 1.0}, "pad", "pads with the mean colour; black"),
        ({"crop_mode": "squash", "crop_pct": 0.9}, "squash", "crop_pct 0.9, which cuts off edges"),
        ({"crop_mode": "tiles"}, "crop", "crop_mode tiles; the centre is taken"),
        ({"interpolation": "random"}, "crop", "says random; bicubic is taken"),
        ({"interpolation": "hamming"}, "crop", "says hamming; bicubic is taken"),
    ],
)
def test_what_is_done_otherwise_is_said(said: dict[str, Any], fit: str, unmet: str) -> None:
    found = trained_images(NONE | said, "resnet18")
    assert found
    assert found.framing.fit == fit
    assert found.framing.interpolation == "bicubic"
    assert unmet in " ".join(found.unmet.values())
