"""Drawings that a page holds: scales, lines, bars and words, coloured by the page's own style."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from edgekit.printable import shortened

if TYPE_CHECKING:
    import markupsafe

TEXT = 13
"""Units of a letter's height: on a phone a drawing is a little narrower than it is wide."""
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Scale:
    """From figures to units of a drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / ((self.high - self.low) or 1.0)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round figures.

        >>> Scale(0, 1.1, 0, 100).ticks()
        [0.0, 0.5, 1.0]
        """
        width = (self.high - self.low) or 1.0
        size = 10 ** math.floor(math.log10(width / most))
        step = next(size * s for s in (1, 2, 5, 10) if width / (size * s) <= most)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


def around(
    values: Iterable[float], zero: bool = False, margin: float = 0.08
) -> tuple[float, float]:
    """The ends of a scale that holds all values, and 0 where it must.

    >>> around([2.0, 4.0], zero=True, margin=0)
    (0.0, 4.0)
    """
    known = [*values, *([0.0] if zero else [])]
    low, high = min(known, default=0.0), max(known, default=1.0)
    pad = margin * ((high - low) or abs(high) or 1.0)
    return (0.0 if zero and low >= 0 else low - pad), high + pad


@dataclass
class Drawing:
    """Shapes in the order they are drawn. A `kind` is a class of the page's style."""

    width: float
    height: float
    label: str
    """What it shows, for those who do not see it."""
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self.parts.append(f'<line {ends} class="{kind}"/>')

    def bar(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A rectangle between two corners, never too thin to be seen."""
        x, y, wide, high = min(x1, x2), min(y1, y2), max(abs(x2 - x1), 1), max(abs(y2 - y1), 1)
        place = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'
        self.parts.append(f'<rect {place} class="{kind}"/>')

    def dot(self, x: float, y: float, kind: str = "point", title: str = "") -> None:
        """
        Args:
            title: what is told where a mouse rests on it.
        """
        import markupsafe

        end = f"><title>{markupsafe.escape(title)}</title></circle>" if title else "/>"
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}"{end}')

    def path(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{joined}" class="{kind}"/>')

    def words(
        self, x: float, y: float, text: str, anchor: Anchor = "start", kind: str = ""
    ) -> None:
        import markupsafe

        shown = markupsafe.escape(shortened(text, 60))
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self.parts.append(f'<text {place} class="{kind}">{shown}</text>')

    def axis(self, scale: Scale, y: float, top: float, digits: int = 0) -> None:
        """A horizontal axis with lines up to `top` at round figures."""
        for tick in scale.ticks():
            self.line(scale(tick), top, scale(tick), y, "grid")
            self.words(scale(tick), y + TEXT + 2, f"{tick:.{digits}f}", "middle", "tick")

    def side(self, scale: Scale, x: float, end: float, digits: int = 0) -> None:
        """A vertical axis with lines to `end` at round figures."""
        for tick in scale.ticks(4):
            self.line(x, scale(tick), end, scale(tick), "grid")
            self.words(x - 4, scale(tick) + 4, f"{tick:.{digits}f}", "end", "tick")

    def __html__(self) -> markupsafe.Markup:
        import markupsafe

        label = markupsafe.escape(self.label)
        frame = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}"'
        return markupsafe.Markup(
            f'<svg class="plot" {frame} role="img" aria-label="{label}">{"".join(self.parts)}</svg>'
        )


def digits_of(scale: Scale) -> int:
    """As many as tell its ticks apart."""
    ticks = scale.ticks()
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return max(0, -math.floor(math.log10(step) + 1e-9))
