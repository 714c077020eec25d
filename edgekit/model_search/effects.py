"""What each field of a search does by itself (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from edgekit import stats
from edgekit.evidence import Measurement, believed
from edgekit.model_search.front import signed
from edgekit.model_search.points import PointRecord
from edgekit.spec.fields import text_among, value_text


def effects(points: Sequence[PointRecord], unit: str, epochs: int) -> list[str]:
    """What a field does by itself: the mean over pairs that differ in nothing else.

    Args:
        points: with the figures of their short trainings.
        epochs: of a short training: a field of more epochs does nothing there, and is left out.
    """
    found = []
    for path in dict.fromkeys(path for point in points for path in point.settings):
        if path.endswith("epochs") and any(_beyond(p.settings.get(path), epochs) for p in points):
            continue
        values = {value_text(v): v for p in points for v in [p.settings.get(path)]}
        short = {text: text_among(value, [*values.values()]) for text, value in values.items()}
        for one, other in pairwise(sorted(values, key=_by_size)):
            if line := _effect(_pairs(points, path, one, other), unit):
                found.append(f"{path} {short[one]} -> {short[other]}: {line}")
    return found


def _beyond(value: Any, epochs: int) -> bool:
    return isinstance(value, int) and value > epochs


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
    gains = _gains((a.top1, b.top1) for a, b in pairs)
    if not gains:
        return ""
    words = f"{_mean(gains, 1)} points"
    latencies = _gains((believed(a.latency), believed(b.latency)) for a, b in pairs)
    sizes = _gains((a.size, b.size) for a, b in pairs)
    words += f" for {_mean(latencies)} {unit}" if latencies else ""
    words += f" and {_mean(sizes)} MB" if sizes else ""
    if len(pairs) == 1:
        return f"{words}, in one pair: no interval"
    return f"{words}, the mean of {len(pairs)} pairs"


def _gains(pairs: Iterable[tuple[Measurement | None, Measurement | None]]) -> list[float]:
    """By how much the second figure is larger, where a pair is whole."""
    return [b.value - a.value for a, b in pairs if a and b]


def _mean(gains: list[float], digits: int = 2) -> str:
    """With Student's 95 % interval over the pairs; of one pair there is none."""
    if len(gains) == 1:
        return signed(gains[0], digits)
    found = stats.paired_mean(np.array(gains), np.zeros(len(gains)))
    ends = f"{signed(found.low, digits)} to {signed(found.high, digits)}"
    return f"{signed(found.drop, digits)} ({ends})"
