"""What `edgekit history` prints."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from edgekit.cli._terminal import Terminal
from edgekit.evidence import interval
from edgekit.history.entry import Figure
from edgekit.history.trend import Trend, TrendRow

FULL_DAY = 16
"""Characters of a time, to the minute."""
LEGEND = (
    "Ranges are 95 % intervals. Drop and accuracy: against the row before, image by image. "
    "Latency: against the float model of the same row. Rows were timed at different times, so none "
    "is held against another; `edgekit compare` times two builds together."
)


def show_trends(trends: list[Trend], out: Terminal) -> None:
    for trend in trends:
        out.print(_table(trend))
        for line in _notes(trend):
            out.print(line, soft_wrap=True)
    out.print(LEGEND, soft_wrap=True)


def _table(trend: Trend) -> Table:
    table = Table(title=str(trend))
    table.add_column("")
    for heading in ("recorded", "commit", "variant"):
        table.add_column(heading, min_width=10, overflow="fold")
    for heading in ("top-1 %", "drop, points"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("accuracy", no_wrap=True)
    table.add_column("latency ratio", justify="right", overflow="fold")
    if _on_device(trend):
        table.add_column("median ms", justify="right", overflow="fold")
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for number, row in enumerate(trend.rows, 1 + trend.older):
        table.add_row(str(number), *_cells(row, _on_device(trend)))
    return table


def _on_device(trend: Trend) -> bool:
    return any(row.entry.median for row in trend.rows)


def _cells(row: TrendRow, on_device: bool) -> tuple[str, ...]:
    entry, before = row.entry, row.before
    top1, ratio = entry.top1, entry.latency_ratio
    shown = _with_evidence(ratio) if ratio else f"— ({entry.no_ratio})"
    return (
        entry.recorded[:FULL_DAY].replace("T", " "),
        str(entry.commit) if entry.commit else "",
        f"{entry.variant} {entry.precision}",
        f"{top1.value:.1f} {top1.evidence}" if top1 else "—",
        interval(before.change.drop) if before and before.change else "" if not before else "—",
        before.verdict if before else "",
        shown,
        *([_with_evidence(entry.median)] if on_device else []),
        f"{entry.size.value:.2f}",
        entry.status,
    )


def _with_evidence(figure: Figure | None) -> str:
    return f"{interval(figure, 2)} {figure.evidence}" if figure else "—"


def _notes(trend: Trend) -> Iterator[str]:
    """Why a row has no verdict, and what is wrong with it."""
    if trend.older:
        yield f"{trend.older} older rows: --limit N, or --json"
    for number, row in enumerate(trend.rows, 1 + trend.older):
        if row.before and row.before.reason:
            yield f"{number}: {row.before.reason}"
        for reason in row.entry.reasons:
            yield f"{number}: {reason}"
