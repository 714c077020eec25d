"""How a checkpoint's images were prepared."""

from typing import Any

import pytest
import timm
from hypothesis import given
from hypothesis import strategies as st
from timm.data import resolve_data_config

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
    assert found.size == Size(*timms["input_size"][1:])
    assert (found.crop_pct, found.interpolation) == (timms["crop_pct"], timms["interpolation"])
    assert found.mean in (None, timms["mean"])
    assert found.std in (None, timms["std"])


@fuzz
@given(st.dictionaries(st.sampled_from(sorted(NONE)), st.sampled_from(ODD_VALUES)))
def test_odd_arguments_say_nothing_or_what_a_recipe_takes(odd: dict[str, Any]) -> None:
    found = trained_images(NONE | odd, "resnet18")
    assert found is None or (16 <= found.size.height <= 2048 and 0 < found.crop_pct <= 1)


@pytest.mark.parametrize("missing", ["img_size", "input_size"])
def test_one_of_the_sizes_may_be_missing(missing: str) -> None:
    said = NONE | {"img_size": 96, "input_size": [3, 96, 96]}
    del said[missing]
    found = trained_images(said, "resnet18")
    assert found
    assert found.size == Size(96, 96)


def test_arguments_of_another_program_say_nothing() -> None:
    assert trained_images({"img_size": 96}, "resnet18") is None
