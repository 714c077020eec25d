"""A report as a table for a spreadsheet: a line for each file that was measured."""

from __future__ import annotations

import csv
import io

from edgekit.build_folder.report import Report, RowRecord
from edgekit.evidence import InvalidMeasurement, Measurement
from edgekit.printable import one_line

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would compute; text that begins so gets a quote before it."""

Cell = str | float | int | None


def render_csv(report: Report) -> str:
    """Empty cells are figures that were not measured or are not valid, with the reason beside."""
    lines = [_line(report, row) for row in report.rows]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(cell) for key, cell in line.items()} for line in lines)
    return stream.getvalue()


def _plain(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    text = one_line(cell)
    return f"'{text}" if text.startswith(FORMULA) else text


def _line(report: Report, row: RowRecord) -> dict[str, Cell]:
    v, run = row.validation, row.on_device
    change, ratio = v.change, v.latency.ratio
    return {
        "recipe": report.recipe,
        "target": report.target,
        "variant": row.variant,
        "runtime": row.runtime,
        "stage": row.stage,
        "precision": row.precision,
        "baseline": str(row.baseline).lower(),
        "last": str(row.last).lower(),
        "chosen": str(row.last and row.variant == report.chosen).lower(),
        **_figure("top1_percent", v.top1),
        **_figure("drop_points", change.drop if change else None),
        "accuracy_verdict": change.verdict if change else None,
        "mcnemar_p": change.mcnemar_p if change else None,
        **_figure("agreement_percent", v.agreement),
        "sqnr_db": v.sqnr_db,
        **_figure("size_mb", v.size),
        **_figure("size_ratio", v.size_ratio),
        **_figure("latency_ratio", ratio),
        "latency_verdict": v.latency.verdict,
        "latency_invalid": ratio.reason if isinstance(ratio, InvalidMeasurement) else None,
        "device": run.device if run else None,
        "device_validity": run.validity if run else None,
        **_figure("device_ms", run.told(run.median) if run else None),
        **_figure("device_ratio", run.told(run.ratio) if run else None),
    }


def _figure(name: str, figure: Measurement | InvalidMeasurement | None) -> dict[str, Cell]:
    known = figure if isinstance(figure, Measurement) else None
    return {
        name: known.value if known else None,
        f"{name}_low": known.low if known else None,
        f"{name}_high": known.high if known else None,
        f"{name}_evidence": known.evidence if known else None,
    }
