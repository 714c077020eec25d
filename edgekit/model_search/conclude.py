"""What a search says in the end (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from edgekit.evaluation.gates import GateVerdict
from edgekit.evidence import Status, believed
from edgekit.model_search.front import dominated_by, effects, excess, trades, verdicts
from edgekit.model_search.limits import Limit
from edgekit.model_search.points import PointRecord
from edgekit.model_search.report import CandidateRecord, SearchReport
from edgekit.model_search.rungs import Rung


def conclude(report: SearchReport, limits: Sequence[Limit]) -> None:
    """Write down what the candidates of a finished search show."""
    points = [report.candidate(name) for name in report.front]
    report.trades = trades(points, report.unit)
    short = [c for c in report.candidates if c.rung is Rung.SHORT]
    report.effects = effects(short, report.unit)
    report.alike = alike(points)
    report.failure = failure(report, limits)
    if report.state == "searching":
        report.state = "done"


def spread(points: Sequence[CandidateRecord], most: int) -> list[CandidateRecord]:
    """As many as may be trained, from one end of a front to the other."""
    if len(points) <= most:
        return list(points)
    chosen = np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))
    return [points[i] for i in chosen]


def outdone(candidate: CandidateRecord, best: Sequence[PointRecord]) -> str:
    """Which of a front is better in all."""
    better = dominated_by(candidate, best)
    name = better.name if better else "another"
    return f"{candidate.rung}: {name} is better in all"


def alike(points: Sequence[PointRecord]) -> list[str]:
    """Neighbours of a front whose latencies' intervals overlap."""
    found = []
    for one, other in pairwise(points):
        a, b = believed(one.latency), believed(other.latency)
        ends = [a.low, a.high, b.low, b.high] if a and b else []
        known = [end for end in ends if end is not None]
        if len(known) == 4 and known[0] <= known[3] and known[2] <= known[1]:
            found.append(f"the latencies of {one.name} and {other.name} cannot be told apart")
    return found


def failure(report: SearchReport, limits: Sequence[Limit]) -> str:
    """Why nothing can be recommended; empty where something can."""
    chosen = report.chosen
    if chosen is None:
        return nearest_miss(report.candidates, limits)
    found = chosen.confirmed
    if found is None:
        return ""
    if found.exit_code or found.status is Status.UNTRAINED:
        why = found.reason or "its float model is no better than guessing"
        return f"{chosen.name} was chosen, and in the end it does not pass: {why}"
    told = verdicts(found, limits, ("drop", "agreement"))
    broken = [limit for limit, verdict in told.items() if verdict is GateVerdict.BROKEN]
    if broken:
        return f"{chosen.name} was chosen, and on the other images it breaks {broken[0]}"
    return ""


def nearest_miss(candidates: Sequence[CandidateRecord], limits: Sequence[Limit]) -> str:
    """The candidate that misses the limits by the least, and by how much."""
    known = [(sum(excess(c, limits).values()), c) for c in candidates if c.size]
    if not known:
        reasons = list(dict.fromkeys(c.reason for c in candidates if c.reason))
        return f"no candidate can be built: {'; '.join(reasons[:3])}"
    _, nearest = min(known, key=lambda pair: (pair[0], pair[1].name))
    beyond = {limit: share for limit, share in excess(nearest, limits).items() if share > 0}
    if not beyond:
        why = nearest.dropped or nearest.reason
        return f"nothing can be recommended; the nearest, {nearest.label}, was dropped: {why}"
    missed = ", ".join(f"{limit} by {100 * share:.0f} %" for limit, share in beyond.items())
    return (
        f"none of {len(candidates)} candidates holds the limits; the nearest is {nearest.name} "
        f"({nearest.label}), which misses {missed}"
    )
