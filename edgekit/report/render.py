"""Render a report. Everything on the page comes from the report alone."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from edgekit.evidence import Measurement
from edgekit.report.report import Report


def render_markdown(report: Report) -> str:
    return _render("report.md.j2", report, escape=False)


def render_html(report: Report) -> str:
    return _render("report.html.j2", report, escape=True)


def interval(figure: Measurement | None, digits: int = 1) -> str:
    """`82.5 (79.1 to 85.4)`, or an em dash for what was not measured."""
    if figure is None:
        return "—"
    text = f"{figure.value:.{digits}f}"
    if figure.low is None:
        return text
    return f"{text} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def _render(template: str, report: Report, escape: bool) -> str:
    return str(_environment(escape).get_template(template).render(report=report))


@cache
def _environment(escape: bool) -> Any:
    import jinja2

    folder = resources.files("edgekit.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(folder)),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["interval"] = interval
    environment.filters["number"] = "{:,}".format
    return environment
