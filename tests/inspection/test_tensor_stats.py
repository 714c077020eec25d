"""One tensor in two files: what is kept of it, on arrays small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.inspection.tensor_stats import Factors, TensorStats
from edgekit.runtimes.contract.description import Activation

RNG = np.random.default_rng(0)


def activation(low: float | None = None, high: float | None = None) -> Activation:
    step = None if low is None or high is None else (high - low) / 255
    where = {"name": "t", "operator": "op", "layer": "op", "kind": "Conv"}
    return Activation(**where, inputs=(), has_weights=True, low=low, high=high, step=step)


def tally(
    original: NDArray[np.float64], compressed: NDArray[np.float64], codes: Activation | None = None
) -> TensorStats:
    """Of images along the first axis; channels are the last axis."""
    result = TensorStats(codes or activation(), channel_axis=3)
    for one, other in zip(original, compressed, strict=True):
        result.add(one[None].astype(np.float32), other[None].astype(np.float32))
    return result


def test_the_sqnr_is_the_median_over_images() -> None:
    original = np.ones((3, 4, 4, 2))
    noise = np.array([1.0, 0.1, 0.01]).reshape(3, 1, 1, 1)
    found = tally(original, original + noise)
    assert found.sqnr_db == pytest.approx(20, abs=1e-3)
    assert found.images == 3
    assert found.codes_db is None
    assert found.clipped_share is None


def test_equal_tensors_have_no_noise_and_a_broken_one_nothing_else() -> None:
    original = RNG.normal(size=(2, 4, 4, 2))
    assert tally(original, original).sqnr_db == 140
    broken = original.copy()
    broken[:, 0, 0, 0] = np.nan
    assert tally(original, broken).sqnr_db == -140
    broken[:, 0, 0, 0] = np.inf
    assert tally(original, broken).sqnr_db == -140


def test_what_the_codes_alone_would_cost() -> None:
    original = RNG.uniform(-1, 1, (4, 32, 32, 2))
    found = tally(original, original, activation(-1, 1))
    # A step of 2/255 has an error of step / sqrt(12), the signal a deviation of 1 / sqrt(3).
    assert found.codes_db == pytest.approx(20 * np.log10(255), abs=0.3)
    assert found.clipped_share == 0
    assert found.clipping_share == 0


def test_values_outside_of_the_codes_are_counted() -> None:
    original = np.zeros((1, 10, 10, 1))
    original[0, :2, :, 0] = 2.0
    found = tally(original, np.minimum(original, 1), activation(0, 1))
    assert found.clipped_share == 0.2
    assert found.clipping_share == pytest.approx(1)
    assert found.codes_db == pytest.approx(found.sqnr_db)
    assert found.range == (0, 2)


def test_values_that_round_to_zero_are_counted_and_zero_is_not_one() -> None:
    original = np.array([0.0, 0.1, 0.4, 0.6]).reshape(1, 2, 2, 1)
    found = tally(original, original, activation(0, 255))
    assert found.zeroed_share == 0.5


def test_dead_channels_and_those_that_never_lived() -> None:
    original = RNG.normal(size=(3, 4, 4, 5))
    original[..., 0] = 7
    compressed = original.copy()
    compressed[..., :2] = 0
    found = tally(original, compressed)
    assert found.channels == 5
    assert found.dead == (1, 1)


def test_a_channel_that_differs_between_images_only_is_alive() -> None:
    original = np.ones((2, 4, 4, 2)) * np.array([1.0, 2.0]).reshape(2, 1, 1, 1)
    assert tally(original, original).dead == (0, 0)


def test_the_spread_of_channels_and_their_deviation() -> None:
    original = RNG.uniform(-1, 1, (2, 32, 32, 3)) * np.array([1, 1, 16])
    found = tally(original, original)
    assert found.channel_spread == pytest.approx(16, rel=0.05)
    assert found.deviation == pytest.approx(np.std(original), rel=1e-4)


def test_a_constant_shift_is_told_from_noise() -> None:
    original = RNG.normal(size=(8, 16, 16, 4))
    shift = np.array([0.5, -0.5, 0.25, 0])
    assert tally(original, original + shift).bias_share == pytest.approx(1, abs=1e-3)
    noise = RNG.normal(size=original.shape)
    assert tally(original, original + noise).bias_share < 0.02


def test_channels_come_second_where_the_runtime_says_so() -> None:
    found = TensorStats(activation(), channel_axis=1)
    found.add(np.ones((1, 3, 4, 4), np.float32), np.ones((1, 3, 4, 4), np.float32))
    assert found.channels == 3
    tokens = TensorStats(activation(), channel_axis=1)
    tokens.add(np.ones((1, 5, 7), np.float32), np.ones((1, 5, 7), np.float32))
    assert tokens.channels == 7


def test_tensors_of_two_shapes_are_no_pair() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(1, 3\)"):
        TensorStats(activation(), 1).add(np.ones((1, 2), np.float32), np.ones((1, 3), np.float32))


def rescaled(original: NDArray[np.float64], compressed: NDArray[np.float64]) -> TensorStats:
    pairs = [
        (one[None].astype(np.float32), other[None].astype(np.float32))
        for one, other in zip(original, compressed, strict=True)
    ]
    factors = Factors(channel_axis=3)
    for pair in pairs:
        factors.add(*pair)
    result = TensorStats(activation(-100, 100), channel_axis=3, factors=factors.found())
    for pair in pairs:
        result.add(*pair)
    return result


def test_channels_that_were_rescaled_are_compared_up_to_their_factor() -> None:
    factors = np.array([0.01, 1, 30])
    original = RNG.normal(size=(3, 8, 8, 3))
    noisy = (original + 0.1 * RNG.normal(size=original.shape)) * factors
    found = rescaled(original, noisy)
    assert found.sqnr_db == pytest.approx(20, abs=1)
    assert found.range[1] > 50, "in the compressed file's scale, as its codes are"
    assert tally(original, noisy).sqnr_db < 5


def test_a_channel_that_does_not_follow_its_original_has_no_factor() -> None:
    original = RNG.normal(size=(2, 16, 16, 3))
    other = original.copy()
    other[..., 0] = RNG.normal(size=other[..., 0].shape)
    other[..., 1] = 0
    factors = Factors(channel_axis=3)
    factors.add(original[:1].astype(np.float32), other[:1].astype(np.float32))
    np.testing.assert_allclose(factors.found(), 1, rtol=1e-5)
