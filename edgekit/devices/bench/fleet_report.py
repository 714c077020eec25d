"""What several devices of one kind measured, and how far they differ."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.errors import DeviceError
from edgekit.evaluation.device_spread import DeviceSpread
from edgekit.evidence import Measurement, Validity
from edgekit.notebook import HasPage


class FleetRun(BaseModel):
    """One model on one device."""

    model_config = ConfigDict(extra="forbid")

    artifact: str
    device: str
    median: Measurement | None
    validity: Validity
    report: str
    """device-report.json of that run."""


class FleetReport(BaseModel, HasPage):
    """Models that several devices of one kind have measured."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    edgekit: str
    created: str
    devices: list[str]
    runs: list[FleetRun] = []
    spread: DeviceSpread | None = None
    """Of the first model, which all have measured."""
    set_aside: dict[str, str] = {}
    """Devices that vanished or whose run was no result, each with the reason."""
    failed: dict[str, str] = {}
    """Models that no device could measure, each with the reason."""

    def check(self) -> None:
        """
        Raises:
            DeviceError: a model could not be measured.
        """
        if self.failed:
            raise DeviceError(
                "; ".join(f"{name}: {why}" for name, why in self.failed.items()),
                hint="edgekit device check NAME says how a device is",
            )
