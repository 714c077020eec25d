"""Which operators and settings of two sides differ (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.comparison.record import Difference
from edgekit.comparison.side import Side

OWN_STEPS = "steps of its own"
KEYS = 12
"""Characters of a digest that a page shows."""


def compare_operators(first: Side, second: Side) -> tuple[tuple[Difference, ...], str]:
    """How many there are of each kind and precision, where the numbers differ.

    Returns:
        the differences, and why kinds were not compared.
    """
    lacking = [side.record for side in (first, second) if side.operators is None]
    if lacking:
        told = ", ".join(f"{r.letter} ({r.precision})" for r in lacking)
        return (), f"no operators are listed of {told}: compressed files alone are audited"
    if first.record.runtime == second.record.runtime and first.record.kind == second.record.kind:
        return _differences(first.operators or {}, second.operators or {}), ""
    untold = "by precision alone: each runtime has its own kinds, and a device report lists none"
    return _differences(first.by_precision or {}, second.by_precision or {}), untold


def compare_settings(first: Side, second: Side) -> tuple[Difference, ...]:
    """What the manifests and reports say otherwise, with the steps that one alone came through."""
    shared = first.lineage.keys() & second.lineage.keys()
    steps = [_steps(side, shared) for side in (first, second)]
    found = _differences(first.settings, second.settings)
    if any(steps) and first.lineage and second.lineage:
        found = (*found, Difference(what=OWN_STEPS, values=(steps[0], steps[1])))
    return found


def _steps(side: Side, shared: set[str]) -> str | None:
    own = [name or digest[:KEYS] for digest, name in side.lineage.items() if digest not in shared]
    return ", ".join(own) or None


def _differences(
    first: Mapping[str, object], second: Mapping[str, object]
) -> tuple[Difference, ...]:
    """
    >>> [found.values for found in _differences({"a": 1, "b": 2}, {"a": 1, "c": 3})]
    [('2', None), (None, '3')]
    """
    names = dict.fromkeys((*first, *second))
    told = {name: (_text(first.get(name)), _text(second.get(name))) for name in names}
    return tuple(Difference(what=n, values=v) for n, v in told.items() if v[0] != v[1])


def _text(value: object) -> str | None:
    return None if value is None else str(value)
