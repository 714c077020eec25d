"""How long single inferences took: a histogram, on this machine or on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from edgekit.build_folder.report import Report
from edgekit.evaluation.metrics import BUSY, Latency
from edgekit.report.svg import Drawing, Scale, around, digits_of

WIDTH, LEFT, RIGHT = 440, 52, 424
BINS = 40
SHOWN, MOST = 0.99, 2.0
"""Of the samples, and times their median: a few outliers would flatten all the rest, and are
counted."""


@dataclass(frozen=True)
class Plot:
    title: str
    drawing: Drawing


@dataclass(frozen=True)
class HostLatency:
    """The times of a variant's last file on the machine that built."""

    variant: str
    plot: Plot | None
    reason: str = ""
    """Why there is none."""


def host_latencies(report: Report) -> list[HostLatency]:
    """Of each variant; of what was disturbed the reason alone."""
    return [_host_latency(row.variant, row.validation.latency) for row in report.rows if row.last]


def _host_latency(variant: str, latency: Latency) -> HostLatency:
    if latency.disturbed:
        return HostLatency(variant, None, BUSY)
    marks = {"p50": latency.p50_ms, "p90": latency.p90_ms}
    plot = histogram(latency.times_ms, marks)
    return HostLatency(variant, plot, "" if plot else "this report keeps no single times")


def histogram(times: Sequence[float], marks: dict[str, float]) -> Plot | None:
    """
    Args:
        times: milliseconds.
        marks: lines to draw, by their names.
    """
    if not times:
        return None
    ordered = sorted(times)
    top = min(ordered[int(SHOWN * (len(ordered) - 1))], MOST * median(ordered))
    kept = [ms for ms in ordered if ms <= top]
    low, high = around(kept, margin=0.02)
    across = Scale(low, high, LEFT, RIGHT)
    counts, _ = np.histogram(kept, BINS, (low, high))
    drawing = Drawing(WIDTH, 150, f"histogram of {len(times)} inferences, ms")
    up = Scale(0, max(counts), 120, 10)
    drawing.axis(across, 122, 8, digits_of(across))
    wide = (RIGHT - LEFT) / BINS
    for i, count in enumerate(counts):
        if count:
            drawing.bar(LEFT + i * wide + 0.5, 120, LEFT + (i + 1) * wide - 0.5, up(count), "whole")
    for i, (name, value) in enumerate(marks.items()):
        if low <= value <= high:
            drawing.line(across(value), 8, across(value), 120, "reference")
            is_right = across(value) > (LEFT + RIGHT) / 2
            place = across(value) + (-3 if is_right else 3)
            drawing.words(place, 18 + 14 * i, name, "end" if is_right else "start", "tick")
    beyond = len(ordered) - len(kept)
    more = f"; {beyond} beyond {top:.3g} ms are not drawn" if beyond else ""
    return Plot(f"{len(times)} inferences, ms{more}", drawing)
