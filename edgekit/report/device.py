"""The page of a device report, rendered from the report alone."""

from __future__ import annotations

from pathlib import Path

from edgekit.devices.bench.report import DeviceReport
from edgekit.engine.atomic import write_atomically
from edgekit.evidence import Validity
from edgekit.report.device_plots import device_plots
from edgekit.report.render import render

DEVICE_PAGES = ("device-report.json", "device-report.md", "device-report.html")


def render_device_markdown(report: DeviceReport) -> str:
    return render("device.md.j2", escape=False, report=report, Validity=Validity)


def render_device_html(report: DeviceReport) -> str:
    plots = device_plots(report)
    return render("device.html.j2", escape=True, report=report, plots=plots, Validity=Validity)


def write_device_report(report: DeviceReport, folder: Path) -> Path:
    """Write device-report.json, .md and .html.

    Returns:
        the page for a person.
    """
    write_atomically(folder / "device-report.json", report.model_dump_json(indent=1))
    write_atomically(folder / "device-report.md", render_device_markdown(report))
    write_atomically(folder / "device-report.html", render_device_html(report))
    return folder / "device-report.html"
