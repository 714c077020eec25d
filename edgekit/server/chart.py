"""A figure over the rows of a trend, as points with their intervals (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from edgekit.evidence import Measurement, believed
from edgekit.history.entry import Figure
from edgekit.history.trend import Trend
from edgekit.report.svg import Drawing, Scale, around, digits_of

WIDTH, HEIGHT, LEFT, MARGIN = 320, 120, 52, 10


@dataclass(frozen=True)
class Chart:
    title: str
    drawing: Drawing
    """Rows whose figure is missing or invalid leave a gap."""


def charts_of(trend: Trend) -> list[Chart]:
    """None of a single row, which goes nowhere."""
    if len(trend.rows) < 2:
        return []
    entries = [row.entry for row in trend.rows]
    columns: dict[str, tuple[list[Figure | None], int]] = {
        "top-1 %": ([entry.top1 for entry in entries], 1),
        "latency ratio": ([entry.latency_ratio for entry in entries], 2),
        "median ms": ([entry.median for entry in entries], 2),
        "MB": ([entry.size for entry in entries], 2),
    }
    return [
        Chart(title, _drawing(title, [believed(f) for f in column], trend.older + 1, digits))
        for title, (column, digits) in columns.items()
        if any(believed(figure) for figure in column)
    ]


def _drawing(title: str, figures: list[Measurement | None], first: int, digits: int) -> Drawing:
    """
    Args:
        first: number of the first row.
    """
    points = {i: figure for i, figure in enumerate(figures) if figure}
    words = {i: f"row {first + i}: {f.value:.{digits}f} {f.evidence}" for i, f in points.items()}
    ends = [e for f in points.values() for e in (f.value, f.low, f.high) if e is not None]
    across = Scale(0, len(figures) - 1, LEFT, WIDTH - MARGIN)
    up = Scale(*around(ends), HEIGHT - MARGIN, MARGIN)
    drawing = Drawing(WIDTH, HEIGHT, f"{title}: {'; '.join(words.values())}")
    drawing.side(up, LEFT, WIDTH - MARGIN, digits_of(up))
    # Rows that follow each other are as far from their places among the points.
    for _, stretch in groupby(enumerate(points), lambda pair: pair[1] - pair[0]):
        drawing.path(((across(i), up(points[i].value)) for _, i in stretch), "line")
    for i, figure in points.items():
        if figure.low is not None and figure.high is not None:
            drawing.line(across(i), up(figure.low), across(i), up(figure.high), "whisker")
        drawing.dot(across(i), up(figure.value), title=words[i])
    return drawing
