"""Which candidates are worth having, which one to take, and what limits what (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit import stats
from edgekit.evaluation.gates import GateVerdict
from edgekit.evidence import Evidence, Measurement, Verdict, believed
from edgekit.model_search.limits import Limit
from edgekit.model_search.points import PointRecord

AnyPoint = TypeVar("AnyPoint", bound=PointRecord)
SIZE_STEP = 0.01
"""Share by which sizes are told apart: files of the same operators do not have the same bytes."""


def worth(point: PointRecord) -> tuple[float, float, float] | None:
    """What is compared, all of it the less the better: top-1 lost, latency, size in steps of 1 %. A
    latency that is not known counts as endless: nobody is the fastest for want of a figure."""
    if point.top1 is None or point.size is None:
        return None
    size = round(math.log(max(point.size.value, 1e-6)) / SIZE_STEP)
    return -point.top1.value, latency_or_endless(point), size


def latency_or_endless(point: PointRecord) -> float:
    latency = believed(point.latency)
    return latency.value if latency else math.inf


def dominates(one: PointRecord, other: PointRecord, limits: Sequence[Limit] = ()) -> bool:
    """It is no worse in accuracy, latency and size, and better in one; and it holds all limits
    that the other holds.

    Latencies that are alike count as equal: noise beats nothing.
    Where the latency of one of the two is not known, neither dominates.
    """
    own, its = worth(one), worth(other)
    a, b = believed(one.latency), believed(other.latency)
    if own is None or its is None or (a is None) != (b is None):
        return False
    if a and b and alike(a, b):
        own, its = (own[0], 0.0, own[2]), (its[0], 0.0, its[2])
    if not _held(other, limits) <= _held(one, limits):
        return False
    return own != its and all(x <= y for x, y in zip(own, its, strict=True))


def _held(point: PointRecord, limits: Sequence[Limit]) -> set[Limit]:
    return {limit for limit in limits if _holds(point, limit)}


def holds_all(point: PointRecord, limits: Sequence[Limit]) -> bool:
    return all(_holds(point, limit) for limit in limits)


def _holds(point: PointRecord, limit: Limit) -> bool:
    """Latency and size surely; drop and agreement by the figure itself: of a few hundred images
    hardly any interval lies on one side, and it is chance which does."""
    figure = figures_of(point)[limit.figure]
    if figure is None:
        return False
    if limit.figure in ("drop", "agreement"):
        return not limit.excess(figure)
    return limit.verdict(figure) is GateVerdict.HELD


def alike(one: Measurement, other: Measurement) -> bool:
    """Latencies that cannot be told apart: those that were timed, where their intervals overlap. An
    estimate's interval is the error of the model, which both share: there the values count."""
    if one.evidence is Evidence.ESTIMATED:
        return one.value == other.value
    (a, b), (c, d) = _ends(one), _ends(other)
    return a <= d and c <= b


def _ends(figure: Measurement) -> tuple[float, float]:
    if figure.low is None or figure.high is None:
        return figure.value, figure.value
    return figure.low, figure.high


def front(points: Sequence[AnyPoint], limits: Sequence[Limit] = ()) -> list[AnyPoint]:
    """Those that no other of them dominates, the most accurate first.

    Latencies that overlap count as equal, so that one may dominate another, this a third, and the
    first not the third: only who is kept himself takes others away.
    """
    kept: list[AnyPoint] = []
    left = [p for p in points if worth(p)]
    while left:
        best = [p for p in left if not any(dominates(q, p, limits) for q in left)]
        kept += best
        left = [p for p in left if not any(q is p or dominates(q, p, limits) for q in best)]
    return sorted(kept, key=lambda p: (worth(p) or (0.0, 0.0, 0.0), p.name))


def dominated_by(
    point: PointRecord, points: Sequence[PointRecord], limits: Sequence[Limit]
) -> PointRecord | None:
    """The most accurate of those that dominate it."""
    better = [p for p in points if dominates(p, point, limits)]
    return min(better, key=lambda p: (worth(p) or (0.0,), p.name), default=None)


def figures_of(point: PointRecord) -> dict[str, Measurement | None]:
    """What limits are held against."""
    return {
        "latency": believed(point.latency),
        "size": point.size,
        "drop": point.drop,
        "agreement": point.agreement,
    }


def verdicts(
    point: PointRecord, limits: Sequence[Limit], only: Sequence[str] = ()
) -> dict[str, GateVerdict]:
    """What each limit says of it; one whose figure is not there cannot tell.

    Args:
        only: figures that are looked at; all unless given.
    """
    known = figures_of(point)
    return {
        str(limit): limit.verdict(figure)
        if (figure := known[limit.figure])
        else GateVerdict.CANNOT_TELL
        for limit in limits
        if not only or limit.figure in only
    }


def excess(point: PointRecord, limits: Sequence[Limit]) -> dict[str, float]:
    """How far it lies beyond each limit, as a share of it."""
    known = figures_of(point)
    return {str(limit): limit.excess(figure) for limit in limits if (figure := known[limit.figure])}


def misses(point: PointRecord, limits: Sequence[Limit]) -> list[str]:
    """The limits that it lies beyond, each with by how much."""
    known = figures_of(point)
    return [
        f"{limit} by {limit.beyond(figure)}"
        for limit in limits
        if (figure := known[limit.figure]) and limit.excess(figure)
    ]


@dataclass(frozen=True)
class Recommendation:
    point: PointRecord
    why: str


def recommend(
    points: Sequence[PointRecord],
    right: Mapping[str, NDArray[np.bool_]],
    limits: Sequence[Limit],
    compared: int,
    margin: float,
) -> Recommendation | None:
    """The fastest of those that hold every limit and are as accurate as the best one, image by
    image; those that hold the limits come before those that may not. Of latencies that
    cannot be told apart the more accurate is taken, then the smaller.

    Args:
        points: a front.
        right: which held-back images each classifies rightly, by the points' names.
        compared: candidates that were compared.
        margin: points of accuracy that are the most it may surely not lose.
    """
    contenders = _contenders(points, limits)
    if not contenders:
        return None
    best = max(contenders, key=lambda p: (_top1(p), p.name))
    drops = {p.name: _drop(right, best, p) for p in contenders if p is not best}
    tied = [p for p in contenders if p is best or _as_accurate(drops[p.name], margin)]
    taken = _fastest(tied)
    return Recommendation(
        taken, f"of {compared} candidates {_why(taken, best, contenders, drops, margin)}"
    )


def _fastest(points: Sequence[PointRecord]) -> PointRecord:
    first = min(points, key=lambda p: (latency_or_endless(p), p.name))
    quickest = believed(first.latency)
    as_fast = [
        p for p in points if (own := believed(p.latency)) and quickest and alike(own, quickest)
    ]
    return min(
        as_fast or points, key=lambda p: (-_top1(p), p.size.value if p.size else 0.0, p.name)
    )


def _contenders(points: Sequence[PointRecord], limits: Sequence[Limit]) -> list[PointRecord]:
    """Those that hold all limits; else those that may."""
    may = [p for p in points if p.top1 and GateVerdict.BROKEN not in verdicts(p, limits).values()]
    return [p for p in may if holds_all(p, limits)] or may


def _why(
    taken: PointRecord,
    best: PointRecord,
    contenders: Sequence[PointRecord],
    drops: Mapping[str, stats.PairedAccuracy | None],
    margin: float,
) -> str:
    if taken is not best and (drop := drops[taken.name]):
        return (
            f"it is the fastest that is as accurate as {best.title} "
            f"({_top1(best):.1f} %): on the held-back images it loses {drop.drop:.1f} points "
            f"({drop.low:.1f} to {drop.high:.1f}) against it, surely less than {margin:g}"
        )
    if believed(taken.latency) is None:
        return "it is the most accurate"
    open_to_doubt = [
        p
        for p in contenders
        if (drop := drops.get(p.name))
        and drop.verdict is Verdict.CANNOT_TELL
        and drop.high >= margin
        and latency_or_endless(p) < latency_or_endless(taken)
    ]
    if open_to_doubt:
        return (
            f"it is the most accurate; {_count(open_to_doubt)} may be as accurate, and "
            f"the held-back images are too few to show that less than {margin:g} points are lost"
        )
    return "it is the most accurate, and none that is as accurate is surely faster"


def _count(faster: Sequence[PointRecord]) -> str:
    return "a faster one" if len(faster) == 1 else f"{len(faster)} faster ones"


def _top1(point: PointRecord) -> float:
    return point.top1.value if point.top1 else 0.0


def _drop(
    right: Mapping[str, NDArray[np.bool_]], best: PointRecord, other: PointRecord
) -> stats.PairedAccuracy | None:
    if best.name not in right or other.name not in right:
        return None
    return stats.paired_accuracy(right[best.name], right[other.name])


def _as_accurate(drop: stats.PairedAccuracy | None, margin: float) -> bool:
    """No difference can be told, and none beyond the margin can be hidden."""
    return drop is not None and drop.verdict is Verdict.CANNOT_TELL and drop.high < margin


def trades(
    points: Sequence[PointRecord], right: Mapping[str, NDArray[np.bool_]], unit: str
) -> list[str]:
    """What a step along the front costs, in a sentence each; accuracy with its paired interval on
    the held-back images.

    Args:
        points: a front, the most accurate first.
        right: as `recommend`.
        unit: of latencies.
    """
    found = []
    for better, faster in pairwise(points):
        one, other = believed(better.latency), believed(faster.latency)
        gain = _top1(better) - _top1(faster)
        costs = []
        if one and other:
            costs.append(f"{signed(one.value - other.value)} {unit}")
        if better.size and faster.size:
            costs.append(f"{signed(better.size.value - faster.size.value)} MB")
        paired = _drop(right, better, faster)
        if gain > 0 and costs:
            ends = f" ({paired.low:.1f} to {paired.high:.1f})" if paired else ""
            found.append(
                f"{better.title} instead of {faster.title}: {gain:.1f} points more{ends} for "
                + " and ".join(costs)
            )
    return found


def signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}"
