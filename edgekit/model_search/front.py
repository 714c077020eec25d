"""Which candidates are worth having, which one to take, and what limits what (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit import stats
from edgekit.evaluation.gates import GateVerdict
from edgekit.evidence import Measurement, Verdict, believed
from edgekit.model_search.limits import Limit
from edgekit.model_search.points import PointRecord
from edgekit.spec.fields import value_text

AnyPoint = TypeVar("AnyPoint", bound=PointRecord)


def worth(point: PointRecord) -> tuple[float, float, float] | None:
    """What is compared, all of it the less the better: top-1 lost, latency, size. A latency that is
    not known is no reason to be taken, and none to be dropped: such points compare by the rest."""
    if point.top1 is None or point.size is None:
        return None
    latency = believed(point.latency)
    return -point.top1.value, latency.value if latency else 0.0, point.size.value


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """No figure of it is worse, and one is better.

    >>> dominates((1, 2), (1, 3)), dominates((1, 2), (1, 2)), dominates((0, 4), (1, 3))
    (True, False, False)
    """
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def front(points: Sequence[AnyPoint]) -> list[AnyPoint]:
    """Those that no other dominates, the most accurate first."""
    known = [(point, figures) for point in points if (figures := worth(point))]
    kept = [p for p, own in known if not any(dominates(other, own) for _, other in known)]
    return sorted(kept, key=lambda p: (worth(p) or (0.0, 0.0, 0.0), p.name))


def dominated_by(point: PointRecord, points: Sequence[PointRecord]) -> PointRecord | None:
    """The most accurate of those that are better in all."""
    own = worth(point)
    better = [p for p in points if own and (w := worth(p)) and dominates(w, own)]
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
    """What each limit says of it; one whose figure is not there is left out.

    Args:
        only: figures that are looked at; all unless given.
    """
    known = figures_of(point)
    return {
        str(limit): limit.verdict(figure)
        for limit in limits
        if (figure := known[limit.figure]) and (not only or limit.figure in only)
    }


def excess(point: PointRecord, limits: Sequence[Limit]) -> dict[str, float]:
    """How far it lies beyond each limit, as a share of it."""
    known = figures_of(point)
    return {str(limit): limit.excess(figure) for limit in limits if (figure := known[limit.figure])}


@dataclass(frozen=True)
class Recommendation:
    point: PointRecord
    why: str


def recommend(
    points: Sequence[PointRecord],
    right: Mapping[str, NDArray[np.bool_]],
    limits: Sequence[Limit],
    compared: int,
) -> Recommendation | None:
    """The fastest of those that hold every limit and whose accuracy cannot be told from the best
    one's, image by image; of these, one that surely holds them is taken before one that may not.

    Args:
        points: a front.
        right: which held-back images each classifies rightly, by the points' names.
        compared: candidates that were compared.
    """
    contenders, sure = _contenders(points, limits)
    if not contenders:
        return None
    best = max(contenders, key=lambda p: (_top1(p), p.name))
    tied = [p for p in contenders if p is best or _cannot_tell(right, best, p)]
    taken = min(tied, key=lambda p: ((worth(p) or (0.0, 0.0, 0.0))[1:], -_top1(p), p.name))
    holds = "it surely holds every limit" if sure else "it may hold every limit"
    words = holds if limits else "no limit was given"
    return Recommendation(taken, f"{words}; of {compared} candidates {_why(taken, best, tied)}")


def _contenders(
    points: Sequence[PointRecord], limits: Sequence[Limit]
) -> tuple[list[PointRecord], bool]:
    """Those that surely hold all limits, and True; else those that may."""
    held = [p for p in points if p.top1 and GateVerdict.BROKEN not in _said(p, limits)]
    sure = [p for p in held if _said(p, limits) <= {GateVerdict.HELD}]
    return sure or held, bool(sure)


def _said(point: PointRecord, limits: Sequence[Limit]) -> set[GateVerdict]:
    return {*verdicts(point, limits).values()}


def _why(taken: PointRecord, best: PointRecord, tied: Sequence[PointRecord]) -> str:
    if taken is not best:
        return (
            "it is the fastest whose accuracy cannot be told from that of the most accurate, "
            f"{best.name} ({_top1(best):.1f} %)"
        )
    if len(tied) == 1:
        return "it is the most accurate"
    return "it is the most accurate, and the fastest of those that cannot be told from it"


def _top1(point: PointRecord) -> float:
    return point.top1.value if point.top1 else 0.0


def _cannot_tell(
    right: Mapping[str, NDArray[np.bool_]], best: PointRecord, other: PointRecord
) -> bool:
    if best.name not in right or other.name not in right:
        return False
    found = stats.paired_accuracy(right[best.name], right[other.name])
    return found.verdict is Verdict.CANNOT_TELL


def trades(points: Sequence[PointRecord], unit: str) -> list[str]:
    """What a step along the front costs, in a sentence each.

    Args:
        points: a front, the most accurate first.
        unit: of latencies.
    """
    found = []
    for better, faster in pairwise(points):
        one, other = believed(better.latency), believed(faster.latency)
        gain = _top1(better) - _top1(faster)
        costs = []
        if one and other:
            costs.append(f"{_signed(one.value - other.value)} {unit}")
        if better.size and faster.size:
            costs.append(f"{_signed(better.size.value - faster.size.value)} MB")
        if gain > 0 and costs:
            found.append(
                f"{better.name} instead of {faster.name}: {gain:.1f} points more for "
                + " and ".join(costs)
            )
    return found


def effects(points: Sequence[PointRecord], unit: str) -> list[str]:
    """What a field does by itself: the mean over pairs that differ in nothing else."""
    found = []
    for path in dict.fromkeys(path for point in points for path in point.settings):
        values = list(dict.fromkeys(value_text(p.settings.get(path)) for p in points))
        for one, other in pairwise(sorted(values, key=_by_size)):
            if line := _effect(_pairs(points, path, one, other), unit):
                found.append(f"{path} {one} -> {other}: {line}")
    return found


def _by_size(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return 0.0, text


def _pairs(
    points: Sequence[PointRecord], path: str, one: str, other: str
) -> list[tuple[PointRecord, PointRecord]]:
    """Points that differ in one field alone, of which it has these values."""
    groups: dict[str, dict[str, PointRecord]] = {}
    for point in points:
        rest = {p: value_text(v) for p, v in sorted(point.settings.items()) if p != path}
        groups.setdefault(str(rest), {})[value_text(point.settings.get(path))] = point
    return [(g[one], g[other]) for g in groups.values() if one in g and other in g]


def _effect(pairs: list[tuple[PointRecord, PointRecord]], unit: str) -> str:
    gain = _mean((a.top1, b.top1) for a, b in pairs)
    if gain is None:
        return ""
    words = f"{_signed(gain, 1)} points"
    latency = _mean((believed(a.latency), believed(b.latency)) for a, b in pairs)
    size = _mean((a.size, b.size) for a, b in pairs)
    words += f" for {_signed(latency)} {unit}" if latency is not None else ""
    words += f" and {_signed(size)} MB" if size is not None else ""
    return f"{words}, the mean of {len(pairs)} pair{'s' if len(pairs) > 1 else ''}"


def _mean(pairs: Iterable[tuple[Measurement | None, Measurement | None]]) -> float | None:
    """By how much the second figure is larger; None where no pair is whole."""
    known = [b.value - a.value for a, b in pairs if a and b]
    return float(np.mean(known)) if known else None


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}"


def hypervolume(points: Sequence[Sequence[Any]], reference: Sequence[float]) -> float:
    """The volume that points dominate up to a reference: all figures the less the better. Exact, by
    slicing the last figure (Bringmann and Friedrich 2010 name it HSO).

    >>> hypervolume([(0, 0)], (2, 3)), hypervolume([(0, 2), (1, 0)], (2, 3))
    (6.0, 4.0)
    """
    inside = [p for p in points if all(a < r for a, r in zip(p, reference, strict=True))]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - min(p[0] for p in inside))
    levels = [*sorted({p[-1] for p in inside}), reference[-1]]
    total = 0.0
    for low, high in pairwise(levels):
        layer = [p[:-1] for p in inside if p[-1] <= low]
        total += (high - low) * hypervolume(layer, reference[:-1])
    return total
