"""The front holds what nothing beats; the choice is the fastest that is as good as the best."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgekit.evidence import Evidence, InvalidMeasurement, Measurement
from edgekit.model_search.front import (
    dominates,
    effects,
    front,
    hypervolume,
    recommend,
    trades,
    worth,
)
from edgekit.model_search.limits import parse_limits
from edgekit.model_search.points import PointRecord


def figure(value: float, unit: str = "") -> Measurement:
    return Measurement(value=value, unit=unit, evidence=Evidence.HOST, method="made up")


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
    known = {p.name: figures for p in points if (figures := worth(p))}
    for one in points:
        beaten = any(dominates(known[other.name], known[one.name]) for other in points)
        assert beaten == (one not in best)
    assert best
    assert [p.top1.value for p in best if p.top1] == sorted(
        (p.top1.value for p in best if p.top1), reverse=True
    )


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=6))
def test_the_hypervolume_is_the_count_of_dominated_cells(rows: list[tuple[int, ...]]) -> None:
    cells = itertools.product(range(4), repeat=3)
    count = sum(
        any(all(a <= c for a, c in zip(row, cell, strict=True)) for row in rows) for cell in cells
    )
    assert hypervolume(rows, (4, 4, 4)) == count


def test_the_fastest_that_cannot_be_told_from_the_best_is_taken() -> None:
    points = [point("best", 90, 3, 4), point("close", 89, 2, 4), point("poor", 60, 1, 4)]
    right = {
        "best": np.arange(100) < 90,
        "close": np.arange(100) < 89,
        "poor": np.arange(100) < 60,
    }
    found = recommend(points, right, (), 7)
    assert found is not None
    assert found.point.name == "close"
    assert "cannot be told from that of the most accurate, best (90.0 %)" in found.why
    assert "7 candidates" in found.why
    limited = recommend(points, right, parse_limits(["latency<=1.5x resnet18"]), 7)
    assert limited is not None
    assert limited.point.name == "poor"
    assert recommend(points, right, parse_limits(["size<=1MB"]), 7) is None


def test_an_unbelieved_latency_makes_no_sentence_and_no_front() -> None:
    odd = point("odd", 95, 0, 4)
    odd.latency = InvalidMeasurement(
        reason="machine too busy", seen=0.1, unit="ratio", evidence=Evidence.HOST, method="m"
    )
    lines = trades([odd, point("sound", 90, 2, 3)], "x")
    assert lines == ["odd instead of sound: 5.0 points more for +1.00 MB"]


def test_what_a_field_does_is_the_mean_over_pairs_that_differ_in_it_alone() -> None:
    points = [
        point("a", 80, 1.0, 2, px=96, arch="x"),
        point("b", 82, 2.0, 2, px=128, arch="x"),
        point("c", 70, 2.0, 3, px=96, arch="y"),
        point("d", 74, 4.0, 3, px=128, arch="y"),
    ]
    assert effects(points, "x")[0] == (
        "px 96 -> 128: +3.0 points for +1.50 x and +0.00 MB, the mean of 2 pairs"
    )
