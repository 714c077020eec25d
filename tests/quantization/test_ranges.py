import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekit.quantization import ranges
from edgekit.quantization.ranges import Histogram, choose, collect
from edgekit.runtimes.contract.settings import CalibrationMethod

finite = st.floats(-1e4, 1e4, allow_nan=False, width=32)
images = st.lists(arrays.arrays(np.float32, st.integers(1, 40), elements=finite), min_size=1)


def histogram(*values: np.ndarray) -> Histogram:
    found = Histogram()
    for image in values:
        found.add(image.astype(np.float32))
    return found


@settings(deadline=None, max_examples=60)
@given(images)
def test_no_value_is_lost_however_the_limit_grows(values: list[np.ndarray]) -> None:
    found = histogram(*values)
    nonzero = any(np.any(image) for image in values)
    counted = sum(image.size for image in values)
    assert found.counts.sum() <= counted
    if nonzero and np.any(values[0]):
        assert found.counts.sum() == counted


@settings(deadline=None, max_examples=60)
@given(images, st.sampled_from(sorted(ranges.METHODS)))
def test_every_range_holds_zero_and_lies_in_what_was_seen(
    values: list[np.ndarray], method: CalibrationMethod
) -> None:
    low, high = choose(histogram(*values), method)
    together = np.concatenate(values)
    assert min(0.0, float(together.min())) - 1e-3 <= low <= 0 <= high
    assert high <= max(0.0, float(together.max())) + 1e-3


def test_minmax_takes_all_and_the_average_is_over_images() -> None:
    found = histogram(np.array([-1.0, 2.0]), np.array([-3.0, 8.0]))
    assert choose(found, "minmax") == (-3, 8)
    assert choose(found, "moving_average") == (-2, 5)


def test_percentile_cuts_off_what_is_outermost() -> None:
    values = np.linspace(-1, 1, 10_001)
    low, high = choose(histogram(values), "percentile", 90)
    assert (low, high) == pytest.approx((-0.9, 0.9), abs=0.01)


def error_of(values: np.ndarray, ends: tuple[float, float]) -> float:
    """Mean squared error of 256 codes over the range, computed value by value."""
    step = (ends[1] - ends[0]) / 255
    codes = np.clip(np.round((values - ends[0]) / step), 0, 255)
    return float(np.mean((codes * step + ends[0] - values) ** 2))


@pytest.mark.parametrize("method", ["mse", "entropy"])
def test_an_outlier_does_not_take_the_codes_of_all_others(method: CalibrationMethod) -> None:
    rng = np.random.default_rng(0)
    body = np.abs(rng.normal(0, 1, (100, 16_000)))
    outlier = np.append(body[0], 12.0)
    found = histogram(outlier, *body)
    better = choose(found, method)
    assert choose(found, "minmax")[1] == 12
    assert better[1] < 7
    assert error_of(body, better) < error_of(body, (0, 12))


@given(st.integers(0, 99), st.sampled_from(["normal", "laplace", "exponential", "uniform"]))
@settings(deadline=None, max_examples=20)
def test_mse_is_never_worse_than_the_whole_range(seed: int, kind: str) -> None:
    values = getattr(np.random.default_rng(seed), kind)(size=16_000)
    found = histogram(values)
    whole = error_of(values, choose(found, "minmax"))
    assert error_of(values, choose(found, "mse")) < 1.1 * whole


def test_mse_keeps_a_range_that_is_full() -> None:
    values = np.random.default_rng(0).uniform(-2, 6, 50_000)
    assert choose(histogram(values), "mse") == pytest.approx((-2, 6), rel=0.03)


def test_all_zeros_have_a_range() -> None:
    for method in ranges.METHODS:
        assert choose(histogram(np.zeros(5)), method) == (0, 0)


def test_of_what_is_infinite_in_places_the_rest_has_a_range() -> None:
    """The padding of a pool for the largest is, in LiteRT's files of a ResNet."""
    padded = np.array([-np.inf, 1.0, -2.0], np.float32)
    seen = collect(iter([{"pad": padded, "all": np.full(2, np.inf, np.float32)}]))
    assert list(seen) == ["pad"]
    assert seen["pad"].extremes == (-2, 1)


def test_tensors_are_collected_by_name() -> None:
    seen = collect(iter([{"a": np.ones(3, np.float32), "b": np.zeros(0, np.float32)}] * 2))
    assert list(seen) == ["a"]
    assert seen["a"].highs == [1, 1]
