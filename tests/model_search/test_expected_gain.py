"""What a candidate promises for its time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.model_search.expected_gain import (
    Floats,
    Known,
    Predicted,
    encoded,
    gains,
    hypervolume_gain,
)
from edgekit.model_search.hypervolume import hypervolume

AXES = {"data.image_size": [32, 64, 96, 128]}
UNKNOWN = float("nan")
FIGURE = st.floats(0.1, 10)


def known(rows: Sequence[tuple[float, ...]], places: Sequence[int] = ()) -> Known:
    """
    Args:
        rows: accuracy, latency, size and excess of each.
    """
    chosen = [(place,) for place in places or range(len(rows))]
    return Known(encoded(chosen, AXES), *np.array(rows, float).T)


def left(*places: int) -> Floats:
    return encoded([(place,) for place in places], AXES)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(FIGURE, FIGURE, FIGURE), min_size=1, max_size=6),
    st.tuples(FIGURE, FIGURE, FIGURE, st.floats(0.5, 3)),
)
def test_the_closed_form_is_the_mean_over_many_draws(
    told: list[tuple[float, float, float]], one: tuple[float, float, float, float]
) -> None:
    mean, latency, size, spread = one
    so_far = known([(*figures, 0.0) for figures in told], [0] * len(told))
    found = hypervolume_gain(
        so_far,
        Predicted(np.array([mean]), np.array([spread])),
        np.array([latency]),
        np.array([size]),
    )
    floor = min(a for a, _, _ in told)
    reference = [-floor, 1.1 * max(x for _, x, _ in told), 1.1 * max(x for _, _, x in told)]
    front = [(-a, x, y) for a, x, y in told]
    before = hypervolume(front, reference)
    # The middles of 400 slices of equal probability.
    draws = np.quantile(np.random.default_rng(0).normal(mean, spread, 200_000), _middles(400))
    after = [hypervolume([*front, (-a, latency, size)], reference) - before for a in draws]
    assert found[0] == pytest.approx(np.mean(after), rel=0.03, abs=0.02)


def _middles(count: int) -> Floats:
    return (np.arange(count) + 0.5) / count


def test_of_two_that_promise_the_same_the_cheaper_comes_first() -> None:
    so_far = known([(70, 1, 1, 0), (70, 8, 1, 0)], [0, 3])
    near_the_fast, near_the_slow = gains(so_far, left(1, 2))
    assert near_the_fast > near_the_slow


def test_where_accuracy_rises_the_next_lies_further_on() -> None:
    so_far = known([(60, 1, 1, 0), (70, 1, 1, 0)], [0, 1])
    assert gains(so_far, left(2))[0] > gains(known([(70, 1, 1, 0), (60, 1, 1, 0)]), left(2))[0]


def test_what_is_far_beyond_the_limits_is_looked_at_last() -> None:
    so_far = known([(70, 1, 1, 0), (75, 2, 1, 0), (UNKNOWN, 6, 1, 5)], [0, 1, 3])
    one, other = gains(so_far, left(2, 3))
    assert one > other


@pytest.mark.parametrize(
    "row",
    [(UNKNOWN, UNKNOWN, UNKNOWN, 1), (UNKNOWN, 2, 1, 3), (70, UNKNOWN, 1, 0), (70, 0, 0, 0)],
)
@pytest.mark.parametrize("others", [(), ((71, 1, 2, 0), (72, 2, 2, 0))])
def test_what_is_not_known_says_nothing(
    row: tuple[float, ...], others: tuple[tuple[float, ...], ...]
) -> None:
    found = gains(known([row, *others]), left(3))
    assert not np.isnan(found).any()


def test_what_is_under_way_promises_little_again() -> None:
    so_far = known([(60, 1, 1, 0), (70, 2, 1, 0)], [0, 1])
    before = gains(so_far, left(2))
    assert gains(so_far.with_pending(left(2)), left(2))[0] < before[0]
    assert so_far.with_pending(left(2)[:0]) is so_far
