"""The tables of sweeps and searches in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from edgekit.evidence import interval
from edgekit.model_search.report import CandidateRecord, SearchReport
from edgekit.model_search.sweep import SweepReport
from edgekit.spec.fields import text_among

FIGURES = ("top-1 %", "drop, points", "MB", "latency")


def sweep_table(report: SweepReport) -> Table:
    table = Table(title=f"{report.recipe} for {report.target}")
    for path in report.axes:
        table.add_column(path)
    table.add_column("status", no_wrap=True)
    table.add_column("variant", no_wrap=True)
    for heading in FIGURES:
        table.add_column(heading, justify="right", no_wrap=True)
    for point in report.points:
        table.add_row(
            *(text_among(point.settings[p], values) for p, values in report.axes.items()),
            str(point.status or "failed"),
            point.variant,
            interval(point.top1),
            interval(point.drop),
            interval(point.size, 2),
            interval(point.latency, 2),
        )
    return table


def search_tables(report: SearchReport) -> Iterator[Table]:
    """The front, and why the others are not in it."""
    others = [c for c in report.candidates if c.name not in report.front]
    if report.front:
        yield _front(report)
    if others:
        yield _others(report, others)


def _front(report: SearchReport) -> Table:
    ends = (
        "top-1 %, held back",
        "in the end",
        "drop, points",
        "agreement %",
        "MB",
        _latency(report),
    )
    table = _table(f"{report.name}: the front", report, ends)
    for name in report.front:
        point = report.candidate(name)
        judged, built = point.confirmed, point.confirmed or point
        figures = (judged.top1, judged.drop, judged.agreement) if judged else (None, None, None)
        mark = "*" if name == report.recommended else ""
        table.add_row(
            f"{name}{mark}",
            *(text_among(point.settings[p], values) for p, values in report.axes.items()),
            built.variant,
            interval(point.top1),
            *map(interval, figures),
            interval(built.size, 2),
            interval(built.latency, 2),
        )
    return table


def _others(report: SearchReport, others: list[CandidateRecord]) -> Table:
    table = _table("the others", report, ("top-1 %, held back", "MB", _latency(report)))
    table.add_column("training")
    for point in others:
        table.add_row(
            point.name,
            *(text_among(point.settings[p], values) for p, values in report.axes.items()),
            point.variant,
            interval(point.top1),
            interval(point.size, 2),
            interval(point.latency, 2),
            str(point.rung) if point.top1 else "none",
        )
    return table


def _latency(report: SearchReport) -> str:
    return f"latency, {report.unit}"


def _table(title: str, report: SearchReport, figures: tuple[str, ...]) -> Table:
    table = Table(title=title)
    table.add_column("point", overflow="fold", no_wrap=True)  # what is cut cannot be pasted
    for heading in (*report.axes, "variant"):
        table.add_column(heading.rpartition(".")[2], overflow="fold")
    for heading in figures:
        table.add_column(heading, justify="right", min_width=9)
    return table
