"""Which page each result is laid out as in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgekit.api.results import BenchResult, BuildResult
from edgekit.build_folder.report import Report
from edgekit.comparison.record import CompareReport
from edgekit.devices.bench.fleet_report import FleetReport
from edgekit.devices.bench.report import DeviceReport
from edgekit.model_search.report import SearchReport
from edgekit.model_search.search_page import render_search
from edgekit.model_search.sweep import SweepReport
from edgekit.model_search.sweep_page import render_sweep
from edgekit.notebook import HasPage
from edgekit.report.comparison import Comparison
from edgekit.report.device import render_device_html
from edgekit.report.fleet import render_fleet
from edgekit.report.matrix import MatrixReport
from edgekit.report.pages import read_beside
from edgekit.report.render import (
    render,
    render_compare,
    render_comparison,
    render_html,
    render_matrix,
)


def _built(found: BuildResult) -> str:
    if not found.reports:
        return _nothing(found)
    if len(found.reports) == 1:
        return render_html(found.report, read_beside(found.folders[0], found.report))
    name, several = found.reports[0].recipe, Comparison(list(found.reports))
    return render_comparison(name, several, found.left_out, html=True)


def _nothing(found: BuildResult) -> str:
    why = found.failure
    lines = [why.message, why.hint] if why else []
    return render("nothing.html.j2", True, lines=filter(None, lines), left_out=found.left_out)


PAGES: dict[type[HasPage], Callable[[Any], str]] = {
    Report: render_html,
    CompareReport: render_compare,
    DeviceReport: render_device_html,
    FleetReport: render_fleet,
    MatrixReport: lambda found: render_matrix(found, html=True),
    SearchReport: render_search,
    SweepReport: render_sweep,
    BuildResult: _built,
    BenchResult: lambda found: render_device_html(found.report),
}


def page_of(found: HasPage) -> str:
    """Its HTML document."""
    return PAGES[type(found)](found)
