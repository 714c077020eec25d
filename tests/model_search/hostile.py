"""Pages of a search and a sweep over many points, under names that are no names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.evaluation.gates import GateVerdict
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement, Status
from edgekit.model_search.points import PointRecord
from edgekit.model_search.report import CandidateRecord, SearchReport
from edgekit.model_search.rungs import Rung
from edgekit.model_search.search_page import render_search
from edgekit.model_search.sweep import SweepReport
from edgekit.model_search.sweep_page import render_sweep
from tests.report.hostile import FORGED

AXES: dict[str, list[Any]] = {
    "model.arch": [FORGED, "mobilenetv2_100"],
    "data.image_size": [96, [96, 128]],
}
POINTS, FRONT = 60, 12
TOLD = {
    "edgekit": "0", "created": "2026-11-30", "recipe": FORGED, "target": FORGED, "axes": AXES,
    "latency_is": FORGED, "why_no_ms": FORGED,
}  # fmt: skip


def write_search_pages(folder: Path) -> dict[str, Path]:
    """A search's page and a sweep's, by name."""
    pages = {"search": render_search(search_report()), "sweep": render_sweep(sweep_report())}
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in pages}


def search_report() -> SearchReport:
    found = [CandidateRecord(**_point(i).model_dump()) for i in range(POINTS)]
    for number, one in enumerate(found):
        one.rung = (Rung.FULL, Rung.SHORT, Rung.FREE)[number % 3]
        one.verdicts = {FORGED: GateVerdict.CANNOT_TELL}
        if number < FRONT:
            one.confirmed = _point(number)
        else:
            one.dropped = FORGED
    names = [one.name for one in found]
    return SearchReport.model_validate(
        TOLD
        | {
            "name": FORGED,
            "key": "k",
            "left_out": {FORGED: FORGED},
            "limits": [FORGED],
            "unit": "x",
            "candidates": found,
            "front": names[:FRONT],
            "recommended": names[0],
            "why": FORGED,
            "trades": [FORGED],
            "effects": [FORGED],
            "alike": [FORGED],
        }
    )


def sweep_report() -> SweepReport:
    points = [_point(number) for number in range(POINTS)]
    return SweepReport.model_validate(TOLD | {"images": 5000, "points": points, "open": 3})


def _point(number: int) -> PointRecord:
    """Every fourth was timed on a busy machine, every fifth did not pass."""
    busy = InvalidMeasurement(
        reason=FORGED, seen=1.0, unit="ratio", evidence=Evidence.HOST, method=FORGED
    )
    return PointRecord(
        name=f"{number} {FORGED}",
        settings={path: values[number % 2] for path, values in AXES.items()},
        status=Status.BROKEN if number % 5 == 4 else Status.PASSED,
        reason=FORGED if number % 5 == 4 else "",
        exit_code=3 if number % 5 == 4 else 0,
        variant=FORGED,
        runtime="litert",
        precision="int8",
        top1=_figure(90 - number / 2, "%", 2),
        drop=_figure(number / 10, "points", 0.5),
        agreement=_figure(98, "%", 1),
        size=_figure(1 + number / 10, "MB", 0),
        latency=busy if number % 4 == 3 else _figure(1 + number / 20, "ratio", 0.05),
    )


def _figure(value: float, unit: str, half: float) -> Measurement:
    return Measurement(
        value=value,
        unit=unit,
        evidence=Evidence.HOST,
        method=FORGED,
        low=value - half,
        high=value + half,
        samples=556,
    )
