"""The page of what several devices measured, rendered from its report alone."""

from __future__ import annotations

from pathlib import Path

from edgekit.devices.bench.fleet_report import FleetReport
from edgekit.engine.atomic import write_atomically
from edgekit.report.render import render


def render_fleet(report: FleetReport) -> str:
    return render("fleet.html.j2", escape=True, report=report)


def write_fleet_report(report: FleetReport, folder: Path) -> Path:
    """Write fleet.json and fleet.html.

    Returns:
        the page.
    """
    write_atomically(folder / "fleet.json", report.model_dump_json(indent=1))
    write_atomically(folder / "fleet.html", render_fleet(report))
    return folder / "fleet.html"
