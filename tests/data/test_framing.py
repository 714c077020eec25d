"""How photos of any shape become a model's size."""

import runpy
from contextlib import suppress
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform
from torchvision import transforms

from edgekit.agent.classify import framed
from edgekit.data.framing import FITS, Fit, Framing, Interpolation, Way
from edgekit.data.size import Size
from edgekit.models.training_arguments import TIMMS

SIDES = st.integers(1, 100)
PHOTOS = st.integers(1, 300)
FILTERS = st.sampled_from(TIMMS)
CROPS = st.floats(0.5, 1) | st.sampled_from([0.875, 0.9, 0.95])
EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples/classify_image.py"))
SIZES = st.builds(Size, st.integers(16, 48), st.integers(16, 48))


def stripes() -> Image.Image:
    """60 x 30: a red, a green and a blue third."""
    thirds = np.repeat(np.eye(3, dtype=np.uint8) * 255, 20, axis=0)
    return Image.fromarray(np.tile(thirds, (30, 1, 1)))


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(90, 160, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def colours(framing: Framing) -> list[str]:
    """What stands in the middle row, left to right."""
    row = np.asarray(framing.apply(stripes()))[framing.size.height // 2]
    names = ["black" if max(pixel) < 50 else "rgb"[int(pixel.argmax())] for pixel in row]
    return [name for i, name in enumerate(names) if not i or name != names[i - 1]]


def test_a_crop_loses_the_sides_and_a_squash_shows_all() -> None:
    crop = np.asarray(Framing(Size.square(30)).apply(stripes()))
    assert (crop.argmax(2) == 1).mean() == pytest.approx(2 / 3, abs=0.04)
    assert colours(Framing(Size.square(30), 0.5)) == ["g"]
    assert colours(Framing(Size.square(30), fit="squash")) == ["r", "g", "b"]


def test_padding_keeps_shapes_and_fills_with_black() -> None:
    padded = np.asarray(Framing(Size.square(30), fit="pad").apply(stripes()))
    assert padded[:7].max() == 0
    assert padded[-7:].max() == 0
    assert padded[8:22].max(axis=2).min() > 100
    assert colours(Framing(Size.square(30), fit="pad")) == ["r", "g", "b"]


@given(
    PHOTOS, PHOTOS, st.sampled_from(FITS), SIZES, CROPS, st.sampled_from(get_args(Interpolation))
)
def test_what_runs_elsewhere_frames_alike(
    width: int, height: int, fit: Fit, size: Size, crop_pct: float, interpolation: Interpolation
) -> None:
    """Neither `classify.py` nor the example imports edgekit."""
    photo = noise(width, height)
    pixels = np.asarray(Framing(size, crop_pct, fit, interpolation).apply(photo))
    assert pixels.shape == (*size, 3)
    how = Framing(size, crop_pct, fit, interpolation).settings() | {"image_size": size.plain}
    np.testing.assert_array_equal(np.asarray(framed(photo, how)), pixels)
    example = EXAMPLE["framed"](photo, size.width, size.height, crop_pct, fit, interpolation)
    np.testing.assert_array_equal(np.asarray(example), pixels)


@given(PHOTOS, PHOTOS, st.integers(16, 48), st.integers(0, 12), FILTERS)
def test_a_square_is_torchvisions_to_the_pixel(
    width: int, height: int, side: int, margin: int, interpolation: Interpolation
) -> None:
    photo, size = noise(width, height), Size.square(side)
    crop = Framing(size, side / (side + margin + 0.5), "crop", interpolation)
    squash = Framing(size, 1.0, "squash", interpolation)
    mode = transforms.InterpolationMode(interpolation)
    for framing, resized in ((crop, side + margin), (squash, (side, side))):
        theirs = transforms.CenterCrop(side)(transforms.Resize(resized, mode)(photo))
        np.testing.assert_array_equal(np.asarray(framing.apply(photo)), np.asarray(theirs))


@given(PHOTOS, PHOTOS, st.sampled_from(["crop", "pad"]), SIZES, CROPS, FILTERS)
def test_every_shape_is_timms_to_the_pixel(
    width: int, height: int, fit: Fit, size: Size, crop_pct: float, interpolation: Interpolation
) -> None:
    photo = noise(width, height)
    timms = create_transform(
        (3, *size), interpolation=interpolation, mean=(0.0, 0.0, 0.0), crop_pct=crop_pct,
        crop_mode="border" if fit == "pad" else "center", normalize=False,
    )  # fmt: skip
    ours = np.asarray(Framing(size, crop_pct, fit, interpolation).apply(photo))
    with suppress(ValueError):  # of Pillow: timm makes a side of nothing of a strip
        np.testing.assert_array_equal(ours, timms(photo).permute(1, 2, 0).numpy())


@settings(deadline=None)  # TensorFlow takes seconds to come
@given(PHOTOS, PHOTOS, SIZES)
def test_without_antialias_it_is_what_keras_reads(width: int, height: int, size: Size) -> None:
    """image_dataset_from_directory resizes with tf.image.resize, and does not round."""
    import tensorflow as tf

    photo = noise(width, height)
    ours = Framing(size, 1.0, "squash", "bilinear_no_antialias").apply(photo)
    theirs = tf.image.resize(np.asarray(photo), tuple(size), "bilinear", antialias=False).numpy()
    assert np.abs(np.asarray(ours) - theirs).max() < 0.51


@given(SIDES, SIDES, st.sampled_from(FITS), SIZES)
def test_a_turned_picture_becomes_the_turned_size(
    width: int, height: int, fit: Fit, size: Size
) -> None:
    """Height and width are never taken for each other."""
    photo, turned = noise(width, height), Size(size.width, size.height)
    upright = np.asarray(Framing(size, fit=fit).apply(photo), int)
    lying = Framing(turned, fit=fit).apply(photo.transpose(Image.Transpose.TRANSPOSE))
    assert np.abs(np.asarray(lying, int).transpose(1, 0, 2) - upright).max() <= 3  # rounding


@given(SIDES, SIDES, SIZES)
def test_what_a_crop_leaves_out_is_its_shapes_share(width: int, height: int, size: Size) -> None:
    shown = min(width / size.width, height / size.height)  # pixels of the picture for one of these
    cut = 1 - shown**2 * size.width * size.height / (width * height)
    assert Framing(size).left_out(width, height) == pytest.approx(cut, abs=1e-9)
    assert Framing(size, fit="pad").left_out(width, height) == 0


def test_a_picture_of_the_models_shape_is_the_same_with_every_fit() -> None:
    wide = np.asarray(Framing(Size(20, 40)).apply(stripes()))
    for fit in FITS:
        other = Framing(Size(20, 40), fit=fit)
        np.testing.assert_array_equal(np.asarray(other.apply(stripes())), wide)
        assert colours(other) == ["r", "g", "b"]


@pytest.mark.parametrize("fit", FITS)
def test_a_square_picture_is_the_same_with_every_fit(fit: Fit) -> None:
    square = stripes().resize((40, 40))
    crop = Framing(Size.square(32))
    cropped, other = crop.apply(square), crop.in_way(Way(fit)).apply(square)
    np.testing.assert_array_equal(np.asarray(cropped), np.asarray(other))


def test_other_ways_vary_fit_and_orientation_together_and_the_interpolation_alone() -> None:
    own = Way("squash", "upright", "lanczos")
    others = own.others(turned=False)
    assert {(way.fit, way.interpolation) for way in others} == {
        ("crop", "lanczos"), ("pad", "lanczos"), ("squash", "bicubic"), ("squash", "bilinear"),
        ("squash", "nearest"), ("squash", "bilinear_no_antialias"),
    }  # fmt: skip
    assert set(own.others(turned=True)) - set(others) == {
        Way(fit, "as_stored", "lanczos") for fit in FITS
    }


def test_a_crops_share_stays_with_its_fit() -> None:
    framing = Framing(Size.square(32), 0.9)
    assert framing.in_way(Way("crop", "as_stored")).crop_pct == 0.9
    assert framing.in_way(Way("squash")).crop_pct == 1.0
