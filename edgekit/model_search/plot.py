"""Points in a plane: accuracy up, latency or size across, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.evidence import Measurement
from edgekit.report.svg import Drawing, Scale, around, digits_of

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 48, WIDTH - 16, 12, 236
MOST_NAMES = 12
"""Points whose names are written beside them; of more, only those that are marked."""


@dataclass(frozen=True)
class Dot:
    """A point of a plot."""

    name: str
    words: str
    """What is told where a mouse rests on it."""
    across: Measurement
    up: Measurement
    marked: bool = False
    """It is the one to take."""
    soft: bool = False
    """It lies behind others."""
    short: bool = False
    """After a short training: a ring."""

    @property
    def kind(self) -> str:
        """Its class in the style sheet."""
        return "short" if self.short else "soft" if self.soft else "point"


def plane(dots: Sequence[Dot], across: str, up: str) -> Drawing | None:
    """
    Args:
        across, up: what the axes are, with their units.
    """
    if not dots:
        return None
    x = Scale(*around(_ends([dot.across for dot in dots]), zero=True), LEFT, RIGHT)
    y = Scale(*around(_ends([dot.up for dot in dots])), BOTTOM - 32, TOP)
    told = "; ".join(f"{d.name} {d.up.value:.1f} at {d.across.value:.3g}" for d in dots)
    drawing = Drawing(WIDTH, HEIGHT, f"{up} against {across}: {told}")
    drawing.axis(x, BOTTOM - 28, TOP - 4, digits_of(x))
    drawing.side(y, LEFT, RIGHT, digits_of(y))
    for dot in sorted(dots, key=lambda d: (d.marked, not d.soft)):
        named = dot.marked or (len(dots) <= MOST_NAMES and not dot.soft)
        _draw(drawing, dot, x, y, named)
    drawing.words(RIGHT, BOTTOM + 8, across, "end", "tick")
    rings = "; rings: short trainings" if any(d.short for d in dots) else ""
    drawing.words(LEFT, BOTTOM + 24, f"up: {up}", "start", "tick")
    drawing.words(LEFT, BOTTOM + 38, f"lines: 95 % intervals{rings}", "start", "tick")
    return drawing


def _draw(drawing: Drawing, dot: Dot, x: Scale, y: Scale, named: bool) -> None:
    across, up = x(dot.across.value), y(dot.up.value)
    if not dot.soft:
        if dot.up.low is not None and dot.up.high is not None:
            drawing.line(across, y(dot.up.low), across, y(dot.up.high), "whisker")
        if dot.across.low is not None and dot.across.high is not None:
            drawing.line(x(dot.across.low), up, x(dot.across.high), up, "whisker")
    drawing.dot(across, up, dot.kind, f"{dot.name}: {dot.words}")
    if named:
        is_right = across > WIDTH / 2
        kind = "chosen" if dot.marked else ""
        place = across + (-8 if is_right else 8)
        drawing.words(place, up - 6, dot.name, "end" if is_right else "start", kind)


def _ends(figures: Sequence[Measurement]) -> list[float]:
    ends = [end for f in figures for end in (f.low, f.value, f.high)]
    return [end for end in ends if end is not None]
