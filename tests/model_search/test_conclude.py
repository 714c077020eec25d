"""The last sentence says what the images that judged show, and what cannot be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import GateBroken
from edgekit.evidence import Measurement
from edgekit.model_search.conclude import conclude, nearest_miss, not_told_apart, outdone, to_train
from edgekit.model_search.limits import Limit, parse_limits
from edgekit.model_search.points import PointRecord
from edgekit.model_search.report import CandidateRecord, SearchReport
from edgekit.model_search.rungs import Rung
from edgekit.model_search.search_page import render_search
from tests.model_search.test_front import figure, point, unknown


def candidate(found: PointRecord) -> CandidateRecord:
    return CandidateRecord(**found.model_dump())


def report(*candidates: CandidateRecord) -> SearchReport:
    """A search that took the first."""
    return SearchReport(
        edgekit="0",
        created="",
        name="photos-board",
        key="k",
        recipe="photos",
        target="board",
        axes={},
        limits=["drop<=1"],
        latency_is="times",
        unit="x",
        candidates=[*candidates],
        front=[candidates[0].name],
        recommended=candidates[0].name,
        why="it is the most accurate",
    )


def drop(value: float, low: float, high: float) -> Measurement:
    return figure(value, "points").model_copy(update={"low": low, "high": high})


@pytest.mark.parametrize(
    ("confirmed", "said", "failure"),
    [
        (drop(0.2, -0.1, 0.5), "it surely holds every limit", ""),
        (drop(0.5, -1.0, 2.0), "it may hold every limit: drop<=1 cannot be told", ""),
        (drop(3.0, 2.0, 4.0), "it breaks drop<=1;", "in the end it breaks drop<=1"),
        (None, "it may hold every limit: drop<=1 cannot be told", ""),
    ],
)
def test_limits_are_held_by_the_images_that_judge(
    confirmed: Measurement | None, said: str, failure: str
) -> None:
    chosen = candidate(point("p", 90, 1, 1))
    chosen.drop = drop(0.0, -0.1, 0.1)
    chosen.confirmed = point("p", 88, 1, 1).model_copy(update={"drop": confirmed})
    found = report(chosen)
    conclude(found, parse_limits(["drop<=1"]), {})
    assert said in found.why
    assert failure in found.failure
    assert bool(failure) == bool(found.failure)
    assert "0.0 (-0.1" not in found.sentence


def test_another_variant_than_was_compared_is_told() -> None:
    chosen = candidate(point("p", 90, 1, 1)).model_copy(update={"variant": "litert"})
    chosen.confirmed = point("p", 88, 1, 1).model_copy(update={"variant": "onnxruntime"})
    found = report(chosen)
    conclude(found, (), {})
    assert "litert was compared and does not ship in the end, onnxruntime is taken" in found.why


def test_the_most_accurate_that_holds_the_limits_is_trained_first() -> None:
    points = [candidate(point(f"p{i}", 90 - i, 12 - i, 1)) for i in range(12)]
    limits = parse_limits(["latency<=7.5ms"])
    assert [p.name for p in to_train(points, limits, 1)] == ["p5"]
    assert to_train(points, limits, 4)[0].name == "p5"
    assert [p.name for p in to_train(points, (), 99)][:3] == ["p0", "p11", "p10"]
    assert to_train([], limits, 3) == []


def test_of_a_long_front_those_are_trained_that_make_it() -> None:
    """The knee is kept, and what adds hardly anything to its neighbours is left out."""
    knee, ends = (
        point("knee", 89.4, 0.17, 2),
        [point("best", 90.4, 0.4, 4), point("fast", 79, 0.06, 1)],
    )
    near = [point(f"near{i}", 79.2 + i / 10, 0.062 + i / 1000, 1) for i in range(4)]
    front = [candidate(p) for p in (ends[0], knee, *near[::-1], ends[1])]
    assert {p.name for p in to_train(front, (), 3)} == {"best", "knee", "near3"}
    assert {"best", "knee"} <= {p.name for p in to_train(front, (), 2)}


def test_a_front_without_latencies_is_thinned_too() -> None:
    front = [candidate(unknown(f"p{i}", 90 - i, 5 - i)) for i in range(4)]
    assert len(to_train(front, (), 2)) == 2


def test_one_that_was_never_timed_is_not_the_nearest() -> None:
    limits = (Limit("latency", 8), Limit("size", 1))
    never, timed = candidate(unknown("never", 90, 1.1)), candidate(point("timed", 90, 20, 2))
    assert "the nearest is timed" in nearest_miss([never, timed], limits)
    assert nearest_miss([never], limits) == "no candidate can be timed: device vanished"


def test_of_those_trained_in_full_the_nearest_is_told_with_what_it_misses() -> None:
    limits = parse_limits(["drop<=1", "size<=4MB"])
    whole, short = candidate(point("whole", 90, 1, 1)), candidate(point("short", 80, 1, 1))
    whole.drop, short.drop = drop(1.5, 0.5, 2.5), drop(0.3, 0.0, 0.6)
    whole.rung, short.rung = Rung.FULL, Rung.SHORT
    assert nearest_miss([short, whole], limits).endswith("misses drop<=1 by 0.5 points")


def test_candidates_that_failed_are_not_counted_among_those_that_miss_the_limits() -> None:
    slow = candidate(point("slow", 90, 30, 1))
    failed = candidate(point("failed", 90, 1, 1)).model_copy(
        update={"exit_code": 1, "reason": "no file", "size": None, "latency": None}
    )
    said = nearest_miss([slow, failed], parse_limits(["latency<=8ms"]))
    assert said.startswith("none of 1 candidates holds the limits; the nearest is slow")
    assert said.endswith("by a factor of 3.75; 1 could not be built: no file")


def test_one_that_is_outdone_is_told_by_what() -> None:
    one, other = candidate(point("one", 90, 1, 1)), candidate(point("other", 90, 1, 2))
    said = "free: one is no worse in accuracy, latency and size, and better in one"
    assert outdone(other, [one], ()) == said


def test_latencies_without_an_interval_are_alike_where_they_are_equal() -> None:
    assert not_told_apart([point("a", 90, 1, 1), point("b", 89, 1, 1), point("c", 80, 2, 1)]) == [
        "the latencies of a and b cannot be told apart"
    ]


def test_the_hint_of_a_search_that_failed_names_its_store(tmp_path: Path) -> None:
    found = report(candidate(point("p", 90, 1, 1)))
    found.failure = "none of 1 candidates holds the limits"
    with pytest.raises(GateBroken) as caught:
        found.check(tmp_path / "my store")
    assert caught.value.hint == f"edgekit search show photos-board --store '{tmp_path}/my store'"
    with pytest.raises(GateBroken) as caught:
        found.check()
    assert caught.value.hint == "edgekit search show photos-board"


def test_the_page_tells_short_trainings_from_whole_ones_and_what_judged() -> None:
    taken, short = candidate(point("taken", 90, 1, 1)), candidate(point("short", 60, 2, 2))
    taken.rung, short.rung = Rung.FULL, Rung.SHORT
    taken.drop = drop(0.111, 0, 1)
    taken.confirmed = point("taken", 88, 1, 1).model_copy(update={"drop": drop(7.7, 7.1, 8.2)})
    page = render_search(report(taken, short))
    assert page.count('class="short"') == 2  # one in each plot
    assert "<td>short</td>" in page
    assert "7.1" in page
    assert "0.1<span" not in page
    assert "Content-Security-Policy" in page
