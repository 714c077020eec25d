"""How long a step will take, by how fast it has gone."""

from __future__ import annotations

from itertools import accumulate

from edgekit.engine.progress import Pace


def test_a_forecast_leaves_out_what_came_before_the_first_batch() -> None:
    clock = accumulate([100.0, 2.0, 4.0, 3.0])
    pace = Pace(lambda: next(clock))
    assert pace.seconds_left(41, 100) is None  # resumed, after 100 s of loading
    assert pace.seconds_left(42, 100) is None  # too early
    assert pace.seconds_left(44, 100) == 56 * 2.0
    assert pace.seconds_left(44 + 1, 100) == 55 * 9 / 4
