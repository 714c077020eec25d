"""A picture in another size or encoding is found again, and others are not taken for it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edgekit.data.framing import Framing
from edgekit.data.images import TRAIN_MARGIN, decode
from edgekit.data.near_duplicates import Fingerprints, Twins, fingerprints, near_duplicates
from edgekit.data.size import Size

FRAMING = Framing(Size.square(160))


def pictures(count: int, seed: int) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 9, 9, 3), np.uint8)
    return [Image.fromarray(one).resize((300, 200), Image.Resampling.BICUBIC) for one in coarse]


def of(images: list[Image.Image], framing: Framing, form: str = "PNG") -> Fingerprints:
    decoded = []
    for image in images:
        stream = io.BytesIO()
        image.save(stream, form, quality=50)
        pixels = decode(stream.getvalue(), framing)
        assert not isinstance(pixels, str)
        decoded.append(pixels)
    return fingerprints(decoded)


def test_another_size_and_encoding_of_a_picture_is_found() -> None:
    same, others = pictures(20, 0), pictures(40, 1)
    smaller = [image.resize((150, 100)) for image in same]
    learned = of([*others, *smaller], FRAMING.enlarged(TRAIN_MARGIN), "JPEG")
    assert near_duplicates(of(same, FRAMING), learned).found == {i: 40 + i for i in range(20)}
    assert near_duplicates(of(pictures(20, 2), FRAMING), learned).found == {}


@pytest.mark.parametrize("counts", [(0, 3), (3, 0)])
def test_no_pictures(counts: tuple[int, int]) -> None:
    judged, learned = (of(pictures(count, 0), FRAMING) for count in counts)
    assert near_duplicates(judged, learned).found == {}


def test_a_difference_of_three_bits_is_found_wherever_it_lies() -> None:
    grey = np.zeros((1, 256), np.float32)
    for bits in ((0, 17, 40), (0, 1, 2), (15, 31, 47)):
        other = np.array([sum(1 << bit for bit in bits)], np.uint64)
        one = Fingerprints(np.zeros(1, np.uint64), grey)
        assert near_duplicates(one, Fingerprints(other, grey)).found == {0: 0}
        assert near_duplicates(one, Fingerprints(other | np.uint64(1 << 60), grey)).found == {}


def test_pictures_on_plain_grounds_are_compared_with_the_likest_alone() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(128, 20, (3001, 256)).astype(np.float32)
    noise = 20 * (noise - noise.mean(1, keepdims=True)) / noise.std(1, keepdims=True) + 128
    plain = Fingerprints(np.zeros(3000, np.uint64), noise[:3000])
    other = Fingerprints(np.zeros(1, np.uint64), noise[3000:])
    assert near_duplicates(other, plain, most=3000) == Twins({}, 0)
    assert near_duplicates(other, plain, most=100) == Twins({}, 1)
    plain.thumbnails[:] += np.arange(3000)[:, None]  # means tell them apart: all are looked at
    assert near_duplicates(other, plain, most=100) == Twins({}, 0)
    twin = Fingerprints(np.zeros(1, np.uint64), plain.thumbnails[2500:2501] + 0.5)
    assert near_duplicates(twin, plain, most=100) == Twins({0: 2500}, 0)
