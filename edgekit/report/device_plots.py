"""The drawings of a run on a device: how long single inferences took, and what the device did
meanwhile."""

from __future__ import annotations

from edgekit.devices.bench.report import DeviceReport
from edgekit.evidence import Validity
from edgekit.report.histogram import LEFT, RIGHT, WIDTH, Plot, histogram
from edgekit.report.svg import Drawing, Scale, around, digits_of

MAX_POINTS = 400
"""Of a curve."""


def device_plots(report: DeviceReport) -> list[Plot]:
    """None of the latency of a run that is no result, but what tells why."""
    valid = report.validity is not Validity.INVALID
    found = [_histogram(report), _sustained(report)] if valid else []
    return [plot for plot in (*found, *_watched(report)) if plot]


def _histogram(report: DeviceReport) -> Plot | None:
    times = report.latency_us
    if not times:
        return None
    samples = [us / 1e3 for process in times.samples for us in process]
    return histogram(samples, {"p50": times.p50 / 1e3, "p95": times.p95 / 1e3})


def _sustained(report: DeviceReport) -> Plot | None:
    if not report.sustained:
        return None
    points = [(at, us / 1e3) for at, us in report.sustained.curve_us]
    return _curve("without a pause: ms over seconds", points, zero=True)


def _watched(report: DeviceReport) -> list[Plot | None]:
    seen = report.watched
    warm = [(s.at, s.temperature_c) for s in seen if s.temperature_c is not None]
    clock = [(s.at, max(s.clocks_mhz)) for s in seen if s.clocks_mhz]
    return [
        _curve("temperature, °C over seconds", warm, zero=False),
        _curve("clock of the fastest core, MHz over seconds", clock, zero=True),
    ]


def _curve(title: str, points: list[tuple[float, float]], zero: bool) -> Plot | None:
    if len(points) < 2:
        return None
    points = points[:: len(points) // MAX_POINTS + 1]
    begin = points[0][0]
    ends = f"{points[0][1]:.1f} at first, {points[-1][1]:.1f} at last"
    drawing = Drawing(WIDTH, 130, f"{title}: {ends}")
    across = Scale(0, points[-1][0] - begin, LEFT, RIGHT)
    up = Scale(*around([y for _, y in points], zero), 102, 10)
    drawing.axis(across, 104, 8, digits_of(across))
    drawing.side(up, LEFT, RIGHT, digits_of(up))
    drawing.path(((across(x - begin), up(y)) for x, y in points), "accuracy")
    return Plot(title, drawing)
