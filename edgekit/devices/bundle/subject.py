"""The model that a bundle holds."""

from __future__ import annotations

from typing import Any

from edgekit.devices.agent_result import ReportPart


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
