"""The front holds what nothing beats; the choice is the fastest that is as good as the best."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgekit.evaluation.gates import GateVerdict
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement
from edgekit.model_search.front import (
    Recommendation,
    dominates,
    front,
    recommend,
    trades,
    verdicts,
)
from edgekit.model_search.limits import Limit, parse_limits
from edgekit.model_search.points import PointRecord


def figure(value: float, unit: str = "", around: float = 0.0) -> Measurement:
    ends = {"low": value - around, "high": value + around} if around else {}
    return Measurement(value=value, unit=unit, evidence=Evidence.HOST, method="made up", **ends)


def point(name: str, top1: float, latency: float, size: float, **settings: object) -> PointRecord:
    return PointRecord(
        name=name,
        settings=settings,
        top1=figure(top1, "%"),
        latency=figure(latency, "ratio"),
        size=figure(size, "MB"),
    )


POINTS = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=12).map(
    lambda rows: [point(f"p{i}", *map(float, row)) for i, row in enumerate(rows)]
)


@given(POINTS)
def test_nothing_beats_the_front_and_it_beats_the_rest(points: list[PointRecord]) -> None:
    best = front(points)
    for one in points:
        beaten = any(dominates(other, one) for other in points)
        assert beaten == (one not in best)
    assert best
    assert [p.top1.value for p in best if p.top1] == sorted(
        (p.top1.value for p in best if p.top1), reverse=True
    )


@given(POINTS)
def test_what_is_left_out_is_dominated_by_one_that_is_kept(points: list[PointRecord]) -> None:
    for one in points:
        assert isinstance(one.latency, Measurement)
        one.latency = figure(one.latency.value, around=0.8)
    best = front(points)
    for one in points:
        assert (one in best) != any(dominates(other, one) for other in best)


def rights(**counts: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """The first images are classified rightly, of 400."""
    return {name: np.arange(400) < count for name, count in counts.items()}


def test_the_fastest_that_is_as_accurate_as_the_best_is_taken() -> None:
    points = [point("best", 90, 3, 4), point("close", 89.75, 2, 4), point("poor", 60, 1, 4)]
    right = rights(best=360, close=359, poor=240)

    def taken(*limits: str, margin: float = 2.0) -> Recommendation | None:
        return recommend(points, right, parse_limits(limits), 7, margin)

    found = taken()
    assert found is not None
    assert found.point.name == "close"
    assert (
        "as accurate as best (90.0 %): on the held-back images it loses 0.2 points (" in found.why
    )
    assert "surely less than 2" in found.why
    assert "7 candidates" in found.why
    strict = taken(margin=0.5)
    assert strict is not None
    assert strict.point.name == "best"
    limited = taken("latency<=1.5x resnet18")
    assert limited is not None
    assert limited.point.name == "poor"
    assert taken("size<=1MB") is None


def test_a_step_tells_its_gain_with_the_interval_over_images() -> None:
    points = [point("best", 90, 3, 4), point("close", 89.75, 2, 4)]
    (line,) = trades(points, rights(best=360, close=359), "ms")
    assert line.startswith("best instead of close: 0.2 points more (-0.")
    assert line.endswith(") for +1.00 ms and +0.00 MB")


def test_few_images_that_hide_a_large_loss_do_not_make_it_as_accurate() -> None:
    points = [point("best", 90, 3, 4), point("hidden", 81.7, 1, 4)]
    right = {"best": np.arange(60) < 54, "hidden": np.arange(60)[::-1] < 49}
    found = recommend(points, right, (), 2, 2.0)
    assert found is not None
    assert found.point.name == "best"
    assert "a faster one may be as accurate, and the held-back images are too few" in found.why


def test_latencies_that_noise_tells_apart_decide_nothing() -> None:
    one, other = point("one", 90, 1.001, 1), point("other", 90, 1.0, 2)
    one.latency, other.latency = figure(1.001, around=0.01), figure(1.0, around=0.01)
    assert dominates(one, other)
    assert not dominates(other, one)
    right = rights(one=360, other=360)
    other.top1 = figure(89.9)
    found = recommend([one, other], right, (), 2, 2.0)
    assert found is not None
    assert found.point.name == "one"


def test_one_that_surely_holds_a_limit_gives_way_to_none_that_may_not() -> None:
    sure, unsure = point("sure", 90, 7.0, 1), point("unsure", 91, 7.5, 1)
    sure.latency, unsure.latency = figure(7.0, around=0.9), figure(7.5, around=0.9)
    limits = parse_limits(["latency<=8ms"])
    assert dominates(unsure, sure)
    best = front([sure, unsure], limits)
    assert best == [unsure, sure]
    found = recommend(best, rights(sure=360, unsure=364), limits, 2, 2.0)
    assert found is not None
    assert found.point.name == "sure"


def test_a_drop_holds_its_limit_by_the_figure_itself() -> None:
    accurate, fast = point("accurate", 88, 5.0, 3), point("fast", 80, 2.0, 1)
    accurate.drop = figure(0.7, around=1.3)
    fast.drop = figure(-1.0, around=1.4)
    limits = parse_limits(["drop<=1"])
    assert [*verdicts(accurate, limits).values()] == [GateVerdict.CANNOT_TELL]
    assert [*verdicts(fast, limits).values()] == [GateVerdict.HELD]
    right = rights(accurate=352, fast=320)
    found = recommend([accurate, fast], right, limits, 2, 2.0)
    assert found is not None
    assert found.point is accurate
    accurate.drop = figure(1.2, around=1.3)
    found = recommend([accurate, fast], right, limits, 2, 2.0)
    assert found is not None
    assert found.point is fast


def test_estimates_are_compared_by_their_values_as_they_share_the_models_error() -> None:
    slow, fast = point("slow", 90, 8, 1), point("fast", 89, 5, 2)
    for one in (slow, fast):
        assert isinstance(one.latency, Measurement)
        wide = {"low": 0.5 * one.latency.value, "high": 2 * one.latency.value}
        one.latency = one.latency.model_copy(update={**wide, "evidence": Evidence.ESTIMATED})
    assert front([slow, fast]) == [slow, fast]
    found = recommend([slow, fast], rights(slow=360, fast=359), (), 2, 2.0)
    assert found is not None
    assert found.point is fast


def unknown(name: str, top1: float, size: float) -> PointRecord:
    found = point(name, top1, 0, size)
    found.latency, found.no_latency = None, "device vanished"
    return found


def test_what_was_never_timed_holds_no_limit_on_latency_and_is_not_the_fastest() -> None:
    timed, never = point("timed", 90, 7, 2), unknown("never", 90, 2)
    limits = (Limit("latency", 8), Limit("size", 4))
    assert [str(v) for v in verdicts(never, limits).values()] == ["cannot tell", "held"]
    found = recommend([timed, never], rights(timed=360, never=360), limits, 2, 2.0)
    assert found is not None
    assert found.point is timed
    without = recommend([timed, never], rights(timed=360, never=360), (), 2, 2.0)
    assert without is not None
    assert without.point is timed
    alone = recommend([never], rights(never=360), limits, 1, 2.0)
    assert alone is not None
    assert "fast" not in alone.why


def test_what_was_never_timed_neither_dominates_nor_is_dominated() -> None:
    worse, never = point("worse", 80, 7, 5), unknown("never", 90, 2)
    best = point("best", 95, 1, 1)
    assert front([worse, never]) == [never, worse]
    assert front([best, never]) == [best, never]
    assert front([never, unknown("other", 80, 3)]) == [never]


def test_an_unbelieved_latency_makes_no_sentence_and_no_front() -> None:
    odd, sound = point("odd", 95, 0, 4), point("sound", 90, 2, 5)
    odd.latency = InvalidMeasurement(
        reason="machine too busy", seen=0.1, unit="ratio", evidence=Evidence.HOST, method="m"
    )
    assert front([odd, sound]) == [odd, sound]
    assert trades([odd, sound], {}, "x") == ["odd instead of sound: 5.0 points more for -1.00 MB"]
