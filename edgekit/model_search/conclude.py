"""What a search says in the end (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgekit.evaluation.gates import GateVerdict
from edgekit.evidence import InvalidMeasurement, Status, believed
from edgekit.model_search.front import (
    alike,
    dominated_by,
    excess,
    figures_of,
    holds_all,
    latency_or_endless,
    misses,
    trades,
    verdicts,
    worth,
)
from edgekit.model_search.hypervolume import hypervolume
from edgekit.model_search.limits import FREE_FIGURES, Limit
from edgekit.model_search.points import PointRecord
from edgekit.model_search.report import CandidateRecord, SearchReport
from edgekit.model_search.rungs import Rung


def conclude(
    report: SearchReport, limits: Sequence[Limit], right: Mapping[str, NDArray[np.bool_]]
) -> None:
    """Write down what the candidates of a finished search show.

    Args:
        right: as `recommend`.
    """
    points = [report.candidate(name) for name in report.front]
    for point in points:
        if point.confirmed and point.confirmed.top1:
            point.verdicts = verdicts(point.confirmed, limits)
    report.trades = trades(points, right, report.unit)
    report.alike = not_told_apart(points)
    report.failure = failure(report, limits)
    if chosen := report.chosen:
        report.why = f"{holds(chosen.verdicts)}; {report.why}{another_variant(chosen)}"


def holds(told: Mapping[str, GateVerdict]) -> str:
    """What the last verdicts on limits come to, in words."""
    if not told:
        return "no limit was given"
    if broken := _of(told, GateVerdict.BROKEN):
        return f"it breaks {', '.join(broken)}"
    if untold := _of(told, GateVerdict.CANNOT_TELL):
        return f"it may hold every limit: {', '.join(untold)} cannot be told"
    return "it surely holds every limit"


def another_variant(chosen: CandidateRecord) -> str:
    """That another variant than the one that was compared is taken in the end; mostly empty."""
    taken = chosen.confirmed.variant if chosen.confirmed else ""
    if not taken or taken == chosen.variant:
        return ""
    return f"; {chosen.variant} was compared and does not ship in the end, {taken} is taken"


def _of(told: Mapping[str, GateVerdict], verdict: GateVerdict) -> list[str]:
    """The limits of which a verdict was told."""
    return [limit for limit, each in told.items() if each is verdict]


def to_train(
    points: Sequence[CandidateRecord], limits: Sequence[Limit], most: int
) -> list[CandidateRecord]:
    """As many of a front as may be trained: the most accurate that surely holds the limits, which
    is the likeliest to be taken; then others, the fastest first: their trainings are the shortest
    too, and the time may not be enough for all. Where they are too many those are left out without
    which the front loses the least hypervolume.

    Args:
        points: the most accurate first.
    """
    if not points:
        return []
    first = next((p for p in points if holds_all(p, limits)), points[0])
    kept = [*points]
    places = _places(points)
    while len(kept) > most:
        least = min(
            (p for p in kept if p is not first),
            key=lambda p: (-_covered([places[q.name] for q in kept if q is not p]), p.name),
        )
        kept.remove(least)
    others = [p for p in kept if p is not first]
    return [first, *sorted(others, key=lambda p: (latency_or_endless(p), p.name))]


def _places(points: Sequence[PointRecord]) -> dict[str, list[float]]:
    """Accuracy lost, latency and size of each, from 0 at the best of a front to 1 at its worst."""
    rows = np.array([worth(p) for p in points], float)
    known = np.isfinite(rows)
    rows = np.where(known, rows, np.where(known, rows, 0.0).max(axis=0))  # no latency: the worst
    low, high = rows.min(axis=0), rows.max(axis=0)
    scaled = (rows - low) / np.where(high > low, high - low, 1.0)
    return {point.name: row.tolist() for point, row in zip(points, scaled, strict=True)}


def _covered(places: Sequence[Sequence[float]]) -> float:
    """Beyond the worst there is a tenth more, so that the ends of a front count too."""
    return hypervolume(places, (1.1, 1.1, 1.1))


def outdone(
    candidate: CandidateRecord, others: Sequence[PointRecord], limits: Sequence[Limit]
) -> str:
    """Which of the others dominates it."""
    better = dominated_by(candidate, others, limits)
    name = better.title if better else "another"
    return f"{candidate.rung}: {name} is no worse in accuracy, latency and size, and better in one"


def not_told_apart(points: Sequence[PointRecord]) -> list[str]:
    """Neighbours of a front whose latencies are alike."""
    found = []
    for one, other in pairwise(points):
        a, b = believed(one.latency), believed(other.latency)
        if a and b and alike(a, b):
            found.append(f"the latencies of {one.title} and {other.title} cannot be told apart")
    return found


def failure(report: SearchReport, limits: Sequence[Limit]) -> str:
    """Why nothing can be recommended; empty where something can."""
    chosen = report.chosen
    if chosen is None:
        early = "the time was over; " if report.state == "out of time" else ""
        return early + nearest_miss(report.candidates, limits)
    found = chosen.confirmed
    if found is None:
        return ""
    if found.exit_code or found.status is Status.UNTRAINED:
        why = found.reason or "its float model is no better than guessing"
        return f"{chosen.title} was chosen, and in the end it does not pass: {why}"
    if broken := _of(verdicts(found, limits), GateVerdict.BROKEN):
        return f"{chosen.title} was chosen, and in the end it breaks {', '.join(broken)}"
    return ""


def nearest_miss(candidates: Sequence[CandidateRecord], limits: Sequence[Limit]) -> str:
    """The candidate that misses the limits by the least, and by how much: of those that were
    trained in full, where there are any. One counts where all is known of it that a limit is on."""
    built = [c for c in candidates if c.size]
    whole = [c for c in built if c.rung is Rung.FULL and _is_known(c, limits)]
    if not whole:  # of short trainings drop and agreement say little
        limits = [limit for limit in limits if limit.figure in FREE_FIGURES]
    known = whole or [c for c in built if _is_known(c, limits)]
    if not known:
        return f"no candidate can be {'timed' if built else 'built'}: {_reasons(candidates)}"
    nearest = min(known, key=lambda c: (sum(excess(c, limits).values()), c.name))
    missed = misses(nearest, limits)
    if not missed:
        why = nearest.dropped or nearest.reason
        return f"nothing can be recommended; the nearest, {nearest.title}, was dropped: {why}"
    failed = [c for c in candidates if c.exit_code]
    also = f"; {len(failed)} could not be built: {_reasons(failed)}" if failed else ""
    return (
        f"none of {len(candidates) - len(failed)} candidates holds the limits; the nearest is "
        f"{nearest.title}, which misses {', '.join(missed)}{also}"
    )


def _is_known(candidate: CandidateRecord, limits: Sequence[Limit]) -> bool:
    return all(figures_of(candidate)[limit.figure] for limit in limits)


def _reasons(candidates: Sequence[CandidateRecord]) -> str:
    """Why they have no figures: the first three reasons."""
    found: dict[str, None] = {}
    for one in candidates:
        busy = one.latency.reason if isinstance(one.latency, InvalidMeasurement) else ""
        found[one.reason or one.no_latency or busy] = None
    return "; ".join([why for why in found if why][:3])
