"""One recipe among many, and what came of it: a line of a sweep, a candidate of a search."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from edgekit.evidence import InvalidMeasurement, Measurement, Status

Figure = Measurement | InvalidMeasurement


class PointRecord(BaseModel):
    """Where a recipe differs from the one that was given, and what was measured of it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    label: str = ""
    """What people call it: the values of what varies."""
    settings: dict[str, Any]
    """Values by the dotted paths of fields."""
    status: Status | None = None
    """None where nothing could be built."""
    reason: str = ""
    """Why it did not pass."""
    exit_code: int = Field(0, ge=0)
    """That `edgekit build` would end with."""
    variant: str = ""
    """What to take of it; the last that was measured where nothing passed."""
    runtime: str = ""
    precision: str = ""
    parameters: int | None = None
    macs: int | None = None
    top1: Measurement | None = None
    drop: Measurement | None = None
    """Points lost against its own float model."""
    agreement: Measurement | None = None
    size: Measurement | None = None
    latency: Figure | None = None
    """As `latency_is` of the report says; invalid where the machine was too busy."""
    no_latency: str = ""
    """Why there is none."""
    of_float: Figure | None = None
    """Latency against its own float model on the same runtime, on this machine."""

    @property
    def ships(self) -> bool:
        """A build of it would leave files, and end well."""
        return self.exit_code == 0 and self.size is not None

    @property
    def title(self) -> str:
        return self.label or self.name
