"""The model that a bundle holds, as reports name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.devices.agent_result import Count, ReportPart, Whole
from edgekit.engine.artifact import sha256_of
from edgekit.errors import IntegrityError
from edgekit.models.card import Card
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.description import Operator


class Subject(ReportPart):
    """The model that was run."""

    file: str
    sha256: str
    bytes: Whole
    format: str
    precision: str
    operators: dict[str, Count] | None
    """How many operators compute in each precision."""
    macs: Whole | None
    parameters: Whole | None
    lineage: list[dict[str, Any]] | None
    """The steps it came through, first to last; None for a file from elsewhere."""

    def check_ran(self, digest: str | None, device: str) -> None:
        """
        Args:
            digest: of the file that ran.

        Raises:
            IntegrityError: it is another one.
        """
        if digest != self.sha256:
            raise IntegrityError(
                f"{device} ran another file than {self.file} of the bundle",
                hint="a file was changed there: deploy it again",
            )


def subject_of(
    path: Path,
    runtime: Runtime,
    operators: tuple[Operator, ...],
    precision: str | None,
    card: Card | None,
    lineage: list[dict[str, Any]] | None,
) -> Subject:
    """A model file as a report names it.

    Args:
        operators: of the file, as its runtime describes it.
        precision, card, lineage: None for a file from elsewhere; then its operators tell.
    """
    precisions: dict[str, int] = {}
    for operator in operators:
        precisions[operator.precision] = precisions.get(operator.precision, 0) + 1
    return Subject(
        file=path.name,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        format=runtime.name,
        precision=precision or _precision(operators),
        operators=dict(sorted(precisions.items())),
        macs=card.macs if card else sum(o.macs for o in operators) or None,
        parameters=card.parameters if card else None,
        lineage=lineage,
    )


def _precision(operators: tuple[Operator, ...]) -> str:
    """Of a file from elsewhere: what its layers compute in, or else what their weights are in."""
    heavy = [operator for operator in operators if operator.heavy]
    if any(o.precision == "int16x8" or o.is_between_wide_codes for o in heavy):
        return "int16x8"
    if any(operator.is_integer for operator in heavy):
        return "int8"
    if any(operator.stored == "int8" for operator in heavy):
        return "int8 weights"
    return "float16" if any(o.precision == "float16" for o in heavy) else "float32"
