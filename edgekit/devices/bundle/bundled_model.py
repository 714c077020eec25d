"""The model that a bundle holds, as reports name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.devices.agent_result import ReportPart
from edgekit.engine.artifact import sha256_of
from edgekit.models.card import Card
from edgekit.runtimes.base import Runtime


class Subject(ReportPart):
    """The model that was run."""

    file: str
    sha256: str
    bytes: int
    format: str
    precision: str
    operators: dict[str, int] | None
    """How many operators compute in each precision."""
    macs: int | None
    parameters: int | None
    lineage: list[dict[str, Any]] | None
    """The steps it came through, first to last; None for a file from elsewhere."""


def subject_of(
    path: Path,
    runtime: Runtime,
    precision: str | None,
    card: Card | None,
    lineage: list[dict[str, Any]] | None,
) -> Subject:
    """A model file as a report names it.

    Args:
        precision, card, lineage: None for a file from elsewhere; then its operators tell.
    """
    operators = runtime.describe(path).operators
    precisions: dict[str, int] = {}
    for operator in operators:
        precisions[operator.precision] = precisions.get(operator.precision, 0) + 1
    integer = any(operator.heavy and operator.is_integer for operator in operators)
    return Subject(
        file=path.name,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        format=runtime.name,
        precision=precision or ("int8" if integer else "float32"),
        operators=dict(sorted(precisions.items())),
        macs=card.macs if card else sum(o.macs for o in operators) or None,
        parameters=card.parameters if card else None,
        lineage=lineage,
    )
