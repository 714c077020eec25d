"""The matrix as data: a line for each architecture, a cell for each variant and precision."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgekit.audit import Audit
from edgekit.evidence import Measurement, Verdict
from edgekit.stages.quantize import Islands


class Cell(BaseModel):
    """One architecture on one variant of one target, in one precision."""

    model_config = ConfigDict(extra="forbid")

    target: str
    variant: str
    precision: str
    reason: str = ""
    """Why it does not export or run; empty where it does, and then the figures are there."""
    top1: Measurement | None = None
    agreement: Measurement | None = None
    sqnr_db: float | None = None
    size: Measurement | None = None
    size_ratio: float | None = None
    latency: Measurement | None = None
    verdict: Verdict | None = None
    audit: Audit | None = None
    islands: Islands | None = None


class Line(BaseModel):
    """One architecture. `key` is that of everything its figures were made from."""

    model_config = ConfigDict(extra="forbid")

    arch: str
    family: str
    note: str
    key: str
    image_size: int
    epochs: int | None
    parameters: int | None = None
    macs: int | None = None
    cells: list[Cell] = []
    reason: str = ""
    """Why nothing of it could be measured; empty where something was."""
    seconds: float = 0.0


class MatrixReport(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    edgekit: str
    created: str
    name: str
    source: str
    images: dict[str, int]
    """Images of each split that took part."""
    environment: dict[str, Any]
    libraries: dict[str, str]
    columns: list[tuple[str, str]]
    """Targets and variants, in their order."""
    lines: list[Line]
    open: list[str]
    """Architectures that are still to come."""

    def cell(self, line: Line, target: str, variant: str, precision: str) -> Cell | None:
        """The cell of a line; None where its whole line has a reason."""
        key = (target, variant, precision)
        return next((c for c in line.cells if (c.target, c.variant, c.precision) == key), None)
