"""Which page each result is laid out as in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgekit.api.results import BenchResult, BuildResult
from edgekit.build_folder.report import Report
from edgekit.comparison.record import CompareReport
from edgekit.devices.bench.report import DeviceReport
from edgekit.notebook import HasPage
from edgekit.report.comparison import Comparison
from edgekit.report.device import render_device_html
from edgekit.report.matrix import MatrixReport
from edgekit.report.render import render_compare, render_comparison, render_html, render_matrix


def _built(found: BuildResult) -> str:
    if len(found.reports) == 1:
        return render_html(found.report)
    name = found.reports[0].recipe if found.reports else "nothing was measured"
    return render_comparison(name, Comparison(list(found.reports)), found.left_out, html=True)


PAGES: dict[type[HasPage], Callable[[Any], str]] = {
    Report: render_html,
    CompareReport: render_compare,
    DeviceReport: render_device_html,
    MatrixReport: lambda found: render_matrix(found, html=True),
    BuildResult: _built,
    BenchResult: lambda found: render_device_html(found.report),
}

for _kind, _page in PAGES.items():
    _kind.page_of = _page
