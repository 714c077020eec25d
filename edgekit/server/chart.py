"""A figure over the rows of a trend, as points with their intervals (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.evidence import Measurement
from edgekit.history.entry import Figure
from edgekit.history.trend import Trend

WIDTH, HEIGHT, MARGIN = 320, 120, 10


@dataclass(frozen=True)
class Point:
    row: int
    x: float
    y: float
    """Downwards, as SVG counts."""
    low: float
    high: float
    """Of the interval's ends; the point's own where it has none."""
    words: str


@dataclass(frozen=True)
class Chart:
    title: str
    points: list[Point]
    """Without rows whose figure is missing or invalid: they leave a gap."""
    top: str
    bottom: str
    """What the ends of the scale stand for."""

    @property
    def lines(self) -> list[str]:
        """SVG's points of each stretch between two gaps."""
        stretches: list[list[Point]] = []
        for point in self.points:
            if stretches and point.row == stretches[-1][-1].row + 1:
                stretches[-1].append(point)
            else:
                stretches.append([point])
        return [" ".join(f"{p.x:.1f},{p.y:.1f}" for p in each) for each in stretches]


def charts_of(trend: Trend) -> list[Chart]:
    """None of a single row, which goes nowhere."""
    if len(trend.rows) < 2:
        return []
    entries = [row.entry for row in trend.rows]
    numbers = range(1 + trend.older, 1 + trend.older + len(entries))
    columns: dict[str, tuple[list[Figure | None], int]] = {
        "top-1 %": ([entry.top1 for entry in entries], 1),
        "latency ratio": ([entry.latency_ratio for entry in entries], 2),
        "median ms": ([entry.median for entry in entries], 2),
        "MB": ([entry.size for entry in entries], 2),
    }
    return [
        _chart(title, list(zip(numbers, column, strict=True)), digits)
        for title, (column, digits) in columns.items()
        if any(isinstance(figure, Measurement) for figure in column)
    ]


def _chart(
    title: str,
    rows: Sequence[tuple[int, Figure | None]],
    digits: int,
) -> Chart:
    known = [(i, n, f) for i, (n, f) in enumerate(rows) if isinstance(f, Measurement)]
    ends = [end for _, _, f in known for end in (f.value, f.low, f.high) if end is not None]
    bottom, top = min(ends), max(ends)
    scale = (HEIGHT - 2 * MARGIN) / ((top - bottom) or 1.0)
    step = (WIDTH - 2 * MARGIN) / (len(rows) - 1)

    def y(value: float | None, instead: float) -> float:
        if top == bottom:
            return HEIGHT / 2
        return HEIGHT - MARGIN - scale * ((instead if value is None else value) - bottom)

    points = [
        Point(
            row=number,
            x=MARGIN + i * step,
            y=y(figure.value, 0),
            low=y(figure.low, figure.value),
            high=y(figure.high, figure.value),
            words=f"row {number}: {figure.value:.{digits}f} {figure.evidence}",
        )
        for i, number, figure in known
    ]
    return Chart(title, points, f"{top:.{digits}f}", f"{bottom:.{digits}f}")
