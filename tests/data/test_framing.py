"""How photos of any shape become a model's size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgekit.data.framing import FITS, Fit, Framing

SIDES = st.integers(1, 200)


def stripes() -> Image.Image:
    """60 x 30: a red, a green and a blue third."""
    thirds = np.repeat(np.eye(3, dtype=np.uint8) * 255, 20, axis=0)
    return Image.fromarray(np.tile(thirds, (30, 1, 1)))


def colours(framing: Framing) -> list[str]:
    """What stands in the middle row, left to right."""
    row = np.asarray(framing.apply(stripes()))[framing.size // 2]
    names = ["black" if max(pixel) < 50 else "rgb"[int(pixel.argmax())] for pixel in row]
    return [name for i, name in enumerate(names) if not i or name != names[i - 1]]


def test_a_crop_loses_the_sides_and_a_squash_shows_all() -> None:
    crop = np.asarray(Framing(30).apply(stripes()))
    assert (crop.argmax(2) == 1).mean() == pytest.approx(2 / 3, abs=0.04)
    assert colours(Framing(30, 0.5)) == ["g"]
    assert colours(Framing(30, fit="squash")) == ["r", "g", "b"]


def test_padding_keeps_shapes_and_fills_with_black() -> None:
    padded = np.asarray(Framing(30, fit="pad").apply(stripes()))
    assert padded[:7].max() == 0
    assert padded[-7:].max() == 0
    assert padded[8:22].max(axis=2).min() > 100
    assert colours(Framing(30, fit="pad")) == ["r", "g", "b"]


@given(SIDES, SIDES, st.sampled_from(FITS), st.integers(16, 64))
def test_any_picture_becomes_the_models_size(width: int, height: int, fit: Fit, size: int) -> None:
    assert Framing(size, fit=fit).apply(Image.new("RGB", (width, height))).size == (size, size)


@pytest.mark.parametrize("fit", FITS)
def test_a_square_picture_is_the_same_with_every_fit(fit: Fit) -> None:
    square = stripes().resize((40, 40))
    cropped, other = Framing(32).apply(square), Framing(32, fit=fit).apply(square)
    np.testing.assert_array_equal(np.asarray(cropped), np.asarray(other))
