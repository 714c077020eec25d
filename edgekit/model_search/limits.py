"""What a model must hold to be taken: `latency<=8ms`, `size<=4MB`, `drop<=1`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from edgekit.errors import InputError
from edgekit.evaluation.gates import GateVerdict, verdict_on
from edgekit.evidence import Measurement
from edgekit.printable import shortened

FigureName = Literal["latency", "size", "drop", "agreement"]
FREE_FIGURES: tuple[FigureName, ...] = ("latency", "size")
"""That an untrained graph has."""
FORM = re.compile(
    r"\s*([A-Za-z_]+)\s*(<=|>=|==|<|>|=)\s*(\d{1,9}(?:\.\d{1,9})?)\s*([A-Za-z%]*)\s*([\w./-]*)\s*"
)
UNITS: dict[FigureName, dict[str, float]] = {
    "latency": {"ms": 1.0, "s": 1000.0, "us": 0.001, "x": 1.0},
    "size": {"MB": 1.0, "kB": 0.001, "KB": 0.001, "mb": 1.0, "kb": 0.001},
    "drop": {"": 1.0, "points": 1.0, "point": 1.0},
    "agreement": {"": 1.0, "%": 1.0},
}
"""What a number is multiplied by, by its unit: ms, MB (10^6 bytes), points and percent."""
EXAMPLES = "e.g. 'latency<=8ms', 'latency<=0.6x tf_efficientnet_lite0', 'size<=4MB', 'drop<=1'"


@dataclass(frozen=True)
class Limit:
    """The most that a figure may be; of agreement the least."""

    figure: FigureName
    bound: float
    """Milliseconds or times the reference, MB, points, percent."""
    reference: str = ""
    """The architecture that latency is a multiple of; empty for milliseconds."""

    @property
    def at_least(self) -> bool:
        return self.figure == "agreement"

    def __str__(self) -> str:
        """As it is read again."""
        sign = ">=" if self.at_least else "<="
        latency = f"x {self.reference}" if self.reference else "ms"
        unit = {"latency": latency, "size": "MB", "drop": "", "agreement": "%"}[self.figure]
        bound = f"{Decimal(f'{self.bound:.12g}'):f}"  # never 1e-06, which is no limit
        return f"{self.figure}{sign}{bound}{unit}"

    def verdict(self, figure: Measurement) -> GateVerdict:
        return verdict_on(figure, self.bound, self.at_least)

    def excess(self, figure: Measurement) -> float:
        """How far beyond the limit a figure lies, as a share of it; 0 where it holds.

        >>> from edgekit.evidence import Evidence
        >>> found = Measurement(value=5, unit="MB", evidence=Evidence.MEASURED, method="bytes")
        >>> parse_limit("size<=4MB").excess(found)
        0.25
        """
        beyond = self.bound - figure.value if self.at_least else figure.value - self.bound
        return max(0.0, beyond / (self.bound or 1.0))

    def beyond(self, figure: Measurement) -> str:
        """How far a figure lies beyond the limit, for a person.

        >>> from edgekit.evidence import Evidence
        >>> found = Measurement(value=2.5, unit="", evidence=Evidence.MEASURED, method="paired")
        >>> parse_limit("drop<=1").beyond(found), parse_limit("size<=2MB").beyond(found)
        ('1.5 points', '25 %')
        >>> parse_limit("size<=0.01MB").beyond(found)
        'a factor of 250'
        """
        if self.figure in ("drop", "agreement"):
            return f"{abs(figure.value - self.bound):.1f} points"
        if self.bound and figure.value > 3 * self.bound:
            return f"a factor of {figure.value / self.bound:.3g}"
        return f"{100 * self.excess(figure):.0f} %"


def parse_limit(text: str, where: str = "--limit") -> Limit:
    """
    Raises:
        InputError: it is no limit.

    >>> parse_limit("latency<=0.6x efficientnet_lite0")
    Limit(figure='latency', bound=0.6, reference='efficientnet_lite0')
    >>> str(parse_limit("size <= 900 kB"))
    'size<=0.9MB'
    """
    found = FORM.fullmatch(text) if len(text) < 200 else None
    if not found:
        raise InputError(f"{where}: {shortened(text)!r} is no limit", hint=EXAMPLES)
    name, sign, number, unit, reference = found.groups()
    figure = next((known for known in get_args(FigureName) if known == name), None)
    if figure is None:
        known = ", ".join(get_args(FigureName))
        raise InputError(f"{where}: no figure {shortened(name)!r}; known: {known}", hint=EXAMPLES)
    wanted = ">=" if figure == "agreement" else "<="
    if sign != wanted:
        raise InputError(f"{where}: {figure}: {wanted} expected, not {sign}", hint=EXAMPLES)
    factor = _factor(figure, unit, reference, where)
    bound = float(number) * factor
    if not bound and figure != "drop":
        raise InputError(f"{where}: {figure}: more than 0 expected", hint=EXAMPLES)
    if figure == "agreement" and bound > 100:
        raise InputError(f"{where}: agreement: 100 % at most")
    return Limit(figure, bound, reference)


def _factor(figure: FigureName, unit: str, reference: str, where: str) -> float:
    units = UNITS[figure]
    if unit not in units:
        words = " or ".join(name for name in units if name) + (" or nothing" if "" in units else "")
        given = repr(unit) if unit else "no unit"
        raise InputError(f"{where}: {figure}: {words} expected, not {given}", hint=EXAMPLES)
    if (unit == "x") != bool(reference):
        raise InputError(
            f"{where}: {figure}: a multiple names an architecture, and nothing else does",
            hint=EXAMPLES,
        )
    return units[unit]


def parse_limits(texts: Sequence[str], where: str = "--limit") -> tuple[Limit, ...]:
    """
    Args:
        where: they stand, for messages.

    Raises:
        InputError: one of them is no limit, or a figure is limited twice.
    """
    found = tuple(parse_limit(text, where) for text in texts)
    names = [limit.figure for limit in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{where}: {', '.join(twice)} is limited twice")
    return found


def replaced_limits(own: Sequence[Limit], given: Sequence[Limit]) -> tuple[Limit, ...]:
    """A recipe's own limits, but for figures that the command line limits.

    >>> own = parse_limits(["size<=4MB", "drop<=1"])
    >>> [str(limit) for limit in replaced_limits(own, parse_limits(["size<=2MB"]))]
    ['drop<=1', 'size<=2MB']
    """
    figures = {limit.figure for limit in given}
    return (*(limit for limit in own if limit.figure not in figures), *given)
