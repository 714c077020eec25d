"""The drawings of a run on a device: how long single inferences took, and what the device did
meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.devices.bench.report import DeviceReport
from edgekit.evidence import Validity
from edgekit.report.svg import Drawing, Scale, around, digits_of

WIDTH, LEFT, RIGHT = 440, 52, 424
BINS = 40
SHOWN = 0.99
"""Of the samples: a few outliers would flatten all the rest, and are counted."""
MAX_POINTS = 400
"""Of a curve."""


@dataclass(frozen=True)
class DevicePlot:
    title: str
    drawing: Drawing


def device_plots(report: DeviceReport) -> list[DevicePlot]:
    """None of the latency of a run that is no result, but what tells why."""
    valid = report.validity is not Validity.INVALID
    found = [_histogram(report), _sustained(report)] if valid else []
    return [plot for plot in (*found, *_watched(report)) if plot]


def _histogram(report: DeviceReport) -> DevicePlot | None:
    times = report.latency_us
    samples = sorted(s / 1e3 for process in (times.samples if times else []) for s in process)
    if not samples or not times:
        return None
    top = samples[int(SHOWN * (len(samples) - 1))]
    kept = [s for s in samples if s <= top]
    low, high = around(kept, margin=0.02)
    across = Scale(low, high, LEFT, RIGHT)
    counts = [0] * BINS
    for sample in kept:
        counts[min(int((sample - low) / (high - low) * BINS), BINS - 1)] += 1
    drawing = Drawing(WIDTH, 150, f"histogram of {len(samples)} inferences, ms")
    up = Scale(0, max(counts), 120, 10)
    drawing.axis(across, 122, 8, digits_of(across))
    wide = (RIGHT - LEFT) / BINS
    for i, count in enumerate(counts):
        if count:
            drawing.bar(LEFT + i * wide + 0.5, 120, LEFT + (i + 1) * wide - 0.5, up(count), "whole")
    for name, value in (("p50", times.p50 / 1e3), ("p95", times.p95 / 1e3)):
        if low <= value <= high:
            drawing.line(across(value), 8, across(value), 120, "reference")
            drawing.words(across(value) + 3, 18, name, kind="tick")
    beyond = len(samples) - len(kept)
    more = f"; {beyond} beyond {top:.2f} ms are not drawn" if beyond else ""
    return DevicePlot(f"{len(samples)} inferences, ms{more}", drawing)


def _sustained(report: DeviceReport) -> DevicePlot | None:
    if not report.sustained:
        return None
    points = [(at, us / 1e3) for at, us in report.sustained.curve_us]
    return _curve("without a pause: ms over seconds", points, zero=True)


def _watched(report: DeviceReport) -> list[DevicePlot | None]:
    seen = report.watched
    warm = [(s.at, s.temperature_c) for s in seen if s.temperature_c is not None]
    clock = [(s.at, max(s.clocks_mhz)) for s in seen if s.clocks_mhz]
    return [
        _curve("temperature, °C over seconds", warm, zero=False),
        _curve("clock of the fastest core, MHz over seconds", clock, zero=True),
    ]


def _curve(title: str, points: list[tuple[float, float]], zero: bool) -> DevicePlot | None:
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
    return DevicePlot(title, drawing)
