"""The tables of a build in a terminal."""

from __future__ import annotations

from rich.table import Table

from edgekit.build_folder.report import Report
from edgekit.evaluation.metrics import Validation
from edgekit.evidence import interval
from edgekit.report.figures import of_device

FIGURES = ("top-1 %", "drop, points", "agree %", "MB", "latency ratio")
ON_DEVICE = ("top-1 %", "as on the host %", "median ms", "ratio", "evidence", "valid")


def rows_table(report: Report) -> Table:
    """Every file that was measured."""
    table = _table(None, ("variant", "stage"), (*FIGURES, "speed"))
    for row in report.rows:
        table.add_row(
            row.variant,
            f"{row.stage} {row.precision}",
            *_figures(row.validation),
            row.validation.latency.verdict or "",
            end_section=row.last,
        )
    return table


def device_table(report: Report) -> Table | None:
    """The rows that were run on a device of the user's; None where none was."""
    rows = [(row, row.on_device) for row in report.rows if row.on_device]
    if not rows:
        return None
    first = rows[0][1]
    title = f"on {first.device}: {first.cpu}, {first.threads} threads"
    table = _table(title, ("variant", "stage"), ON_DEVICE)
    for row, run in rows:
        table.add_row(
            row.variant,
            f"{row.stage} {row.precision}",
            of_device(run.top1, run, 1),
            of_device(run.agreement, run, 1),
            of_device(run.median, run),
            of_device(run.ratio, run),
            run.evidence,
            run.validity,
            end_section=row.last,
        )
    return table


def choices_table(reports: list[Report]) -> Table:
    """What each target takes."""
    table = _table(None, ("target", "choice"), (*FIGURES, "speed"))
    for report in reports:
        chosen = [r for r in report.rows if r.last and r.variant == report.chosen]
        found = chosen[0].validation if chosen else None
        cells = [*_figures(found), found.latency.verdict or ""] if found else []
        table.add_row(report.target, report.chosen or "", *cells)
    return table


def _table(title: str | None, names: tuple[str, ...], figures: tuple[str, ...]) -> Table:
    table = Table(title=title)
    for heading in names:
        table.add_column(heading, no_wrap=True)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _figures(v: Validation) -> list[str]:
    return [
        f"{v.top1.value:.1f}",
        interval(v.change.drop) if v.change else "reference",
        f"{v.agreement.value:.1f}",
        f"{v.size.value:.2f}",
        interval(v.latency.ratio, 2) if v.latency.ratio else "reference",
    ]
