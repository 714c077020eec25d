"""The page of a device report, rendered from the report alone."""

from __future__ import annotations

from pathlib import Path

from edgekit.devices.bench.report import DeviceReport
from edgekit.engine.atomic import write_atomically
from edgekit.evidence import Validity
from edgekit.report.render import render

DEVICE_PAGES = ("device-report.json", "device-report.md", "device-report.html")
WIDTH, HEIGHT = 640, 120
MAX_CURVE_POINTS = 2000
"""Points of a curve that a page can show."""


def render_device_markdown(report: DeviceReport) -> str:
    return render("device.md.j2", escape=False, report=report, Validity=Validity)


def render_device_html(report: DeviceReport) -> str:
    curves = _curves(report)
    return render("device.html.j2", escape=True, report=report, curves=curves, Validity=Validity)


def write_device_report(report: DeviceReport, folder: Path) -> Path:
    """Write device-report.json, .md and .html.

    Returns:
        the page for a person.
    """
    write_atomically(folder / "device-report.json", report.model_dump_json(indent=1))
    write_atomically(folder / "device-report.md", render_device_markdown(report))
    write_atomically(folder / "device-report.html", render_device_html(report))
    return folder / "device-report.html"


def _curves(report: DeviceReport) -> dict[str, str]:
    """SVG polylines by title: the samples of each process, a sustained run, the temperature."""
    curves = {}
    if report.latency_us:
        for number, samples in enumerate(report.latency_us.samples, 1):
            # A few outliers would flatten all the rest.
            top = 2 * report.latency_us.p50
            cut = [(float(i), min(s, top)) for i, s in enumerate(samples)]
            curves[f"process {number}, µs of each run, cut at twice the median"] = _line(cut)
    if report.sustained:
        curves["sustained, µs over seconds"] = _line(report.sustained.curve_us)
    warm = [(s.at, s.temperature_c) for s in report.watched if s.temperature_c is not None]
    if warm:
        curves["temperature, °C over seconds"] = _line(warm)
    return curves


def _line(points: list[tuple[float, float]]) -> str:
    step = len(points) // MAX_CURVE_POINTS + 1
    points = points[::step]
    left, right = points[0][0], points[-1][0]
    top = 1.1 * max(y for _, y in points) or 1.0
    across = (right - left) or 1.0
    return " ".join(
        f"{WIDTH * (x - left) / across:.1f},{HEIGHT * (1 - y / top):.1f}" for x, y in points
    )
