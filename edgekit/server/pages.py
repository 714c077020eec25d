"""The pages of the server: everything that they show is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.history.trend import Trend
from edgekit.report.render import render
from edgekit.server.chart import Chart, charts_of
from edgekit.server.found import Found, Item

CHOICES = ("recipe", "target", "status")
"""What a list can be narrowed by."""


@dataclass(frozen=True)
class Filter:
    """What of a list is shown; an empty one lets all pass."""

    recipe: str = ""
    target: str = ""
    status: str = ""

    def shown(self, items: Sequence[Item]) -> list[Item]:
        wanted = {name: getattr(self, name) for name in CHOICES if getattr(self, name)}
        return [
            item
            for item in items
            if all(getattr(item.entry, name) == value for name, value in wanted.items())
        ]


def list_page(root: Path, found: Found, chosen: Filter) -> str:
    known = {
        name: sorted({value for item in found.items if (value := getattr(item.entry, name))})
        for name in CHOICES
    }
    return _render(
        "list.html.j2", root=root, found=found, items=chosen.shown(found.items), known=known,
        chosen=chosen,
    )  # fmt: skip


def trend_page(trends: Sequence[Trend], history: Path) -> str:
    shown: list[tuple[Trend, list[Chart]]] = [(trend, charts_of(trend)) for trend in trends]
    return _render("trend.html.j2", trends=shown[::-1], history=history)


def message_page(title: str, message: str, hint: str | None = None) -> str:
    return _render("message.html.j2", title=title, message=message, hint=hint)


def stylesheet() -> str:
    return _render("server.css.j2")


def _render(template: str, **values: Any) -> str:
    return render(template, escape=True, room="edgekit.server", **values)
