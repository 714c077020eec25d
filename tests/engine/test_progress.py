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


def test_what_comes_next_in_a_step_has_a_pace_of_its_own() -> None:
    clock = accumulate([0.0, 60.0, 1.0, 6.0])
    pace = Pace(lambda: next(clock))
    assert pace.seconds_left(0, 3) is None
    assert pace.seconds_left(1, 3) == 120.0
    assert pace.seconds_left(2, 300) is None  # another work, of 300 units
    assert pace.seconds_left(8, 300) == 292 * 1.0
