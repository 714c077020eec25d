"""What a candidate promises for its time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from edgekit.model_search.expected_gain import Bounds, Floats, Predicted, Told, encoded
from edgekit.model_search.hypervolume import hypervolume

AXES = {"data.image_size": [32, 64, 96, 128]}
UNKNOWN = float("nan")
FREE = Bounds()
FIGURE = st.floats(0.1, 10)


def told(rows: Sequence[tuple[float, ...]], places: Sequence[int] = ()) -> Told:
    """
    Args:
        rows: accuracy, latency, size, and 1 where it failed.
    """
    chosen = [(place,) for place in places or range(len(rows))]
    return Told(encoded(chosen, AXES), *np.array(rows, float).T)


def left(*places: int) -> Floats:
    return encoded([(place,) for place in places], AXES)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(FIGURE, FIGURE, FIGURE), min_size=1, max_size=6),
    st.tuples(FIGURE, FIGURE, FIGURE, st.floats(0.5, 3)),
    st.one_of(st.none(), FIGURE),
)
def test_the_closed_form_is_the_mean_over_many_draws(
    rows: list[tuple[float, float, float]],
    one: tuple[float, float, float, float],
    limit: float | None,
) -> None:
    mean, latency, size, spread = one
    found = told([(*row, 0.0) for row in rows], [0] * len(rows)).hypervolume_gain(
        Predicted(np.array([mean]), np.array([spread])),
        np.array([latency]),
        np.array([size]),
        Bounds(latency=limit or np.inf),
    )
    slowest, largest = (1.1 * max(row[i] for row in rows) for i in (1, 2))
    reference = [-min(a for a, _, _ in rows), limit or slowest, largest]
    front = [(-a, x, y) for a, x, y in rows]
    before = hypervolume(front, reference)
    # The middles of 200 slices of equal probability.
    draws = norm.ppf(_middles(200), mean, spread)
    after = [hypervolume([*front, (-a, latency, size)], reference) - before for a in draws]
    assert found[0] == pytest.approx(np.mean(after), rel=0.03, abs=0.02)


def _middles(count: int) -> Floats:
    return (np.arange(count) + 0.5) / count


def test_of_two_that_promise_the_same_the_cheaper_comes_first() -> None:
    so_far = told([(70, 1, 1, 0), (70, 8, 1, 0)], [0, 3])
    bounds = Bounds(latency=1e6)  # beside which what they dominate is the same
    cheap, dear = so_far.gains(left(1, 2), bounds)
    gain = so_far.hypervolume_gain(
        Predicted(np.full(2, 70.0), np.ones(2)), np.array([2.0, 4.0]), np.ones(2), bounds
    )
    assert gain[0] == pytest.approx(gain[1], rel=1e-4)
    assert cheap - dear > np.log(1.2)


def test_where_accuracy_rises_the_next_lies_further_on() -> None:
    rising, falling = told([(60, 1, 1, 0), (70, 1, 1, 0)]), told([(70, 1, 1, 0), (60, 1, 1, 0)])
    assert rising.gains(left(2), FREE)[0] > falling.gains(left(2), FREE)[0]


def test_what_is_beyond_a_limit_is_looked_at_last() -> None:
    so_far = told([(70, 1, 1, 0), (75, 2, 1, 0), (UNKNOWN, 8, 1, 0)], [0, 1, 3])
    tight = so_far.gains(left(2, 3), Bounds(latency=4))
    loose = so_far.gains(left(2, 3), Bounds(latency=40))
    assert tight[0] - tight[1] > loose[0] - loose[1] + 1


def test_what_fails_is_looked_at_last() -> None:
    rows = [(70, 1, 1, 0), (75, 2, 1, 0), (UNKNOWN, UNKNOWN, UNKNOWN, 1)]
    near_a_failure = told(rows, [0, 1, 3]).gains(left(3), FREE)
    assert near_a_failure[0] < told(rows[:2], [0, 1]).gains(left(3), FREE)[0] - 1


@pytest.mark.parametrize("row", [(UNKNOWN, 2, 1, 0), (70, UNKNOWN, 1, 0), (70, 0, 0, 0)])
@pytest.mark.parametrize("others", [(), ((71, 1, 2, 0), (72, 2, 2, 0))])
def test_what_is_not_known_leaves_figures(
    row: tuple[float, ...], others: tuple[tuple[float, ...], ...]
) -> None:
    so_far = told([row, *others])
    assert not np.isnan(so_far.gains(left(3), FREE)).any()
    assert not np.isnan(so_far.with_pending(left(2)).gains(left(3), FREE)).any()


def test_where_nothing_is_trained_what_is_under_way_has_no_accuracy() -> None:
    assert np.isnan(told([(UNKNOWN, 2, 1, 0)]).with_pending(left(2)).accuracy).all()


def test_what_is_under_way_promises_little_again() -> None:
    so_far = told([(60, 1, 1, 0), (70, 2, 1, 0)], [0, 1])
    assert so_far.with_pending(left(2)).gains(left(2), FREE)[0] < so_far.gains(left(2), FREE)[0]
