"""What several devices of one kind measured, and how far they differ."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from edgekit.devices.bench.report import DeviceReport
from edgekit.errors import DeviceError
from edgekit.evidence import Measurement, Validity
from edgekit.notebook import HasPage


class DeviceSpread(BaseModel):
    """How far devices of one kind differ on the same file."""

    model_config = ConfigDict(extra="forbid")

    artifact: str
    medians: dict[str, Measurement]
    """Milliseconds by device."""

    @property
    def fastest(self) -> str:
        return min(self.medians, key=lambda name: self.medians[name].value)

    @property
    def slowest(self) -> str:
        return max(self.medians, key=lambda name: self.medians[name].value)

    @property
    def ratio(self) -> float:
        """The slowest against the fastest."""
        return self.medians[self.slowest].value / self.medians[self.fastest].value

    @property
    def within(self) -> float:
        """The widest range of one device's own processes, as a ratio."""
        ranges = [m.high / m.low for m in self.medians.values() if m.low and m.high]
        return max(ranges, default=1.0)

    @property
    def sentence(self) -> str:
        middle = statistics.median(m.value for m in self.medians.values())
        told = (
            f"{len(self.medians)} devices: median {middle:.2f} ms, from "
            f"{self.medians[self.fastest].value:.2f} ({self.fastest}) to "
            f"{self.medians[self.slowest].value:.2f} ({self.slowest}), "
            f"{100 * (self.ratio - 1):.1f} % apart"
        )
        return f"{told}; processes of one device are up to {100 * (self.within - 1):.1f} % apart"

    @classmethod
    def of(cls, artifact: str, reports: Mapping[str, DeviceReport]) -> Self | None:
        """None where fewer than two have a latency, as emulated ones have not."""
        medians = {name: report.median for name, report in reports.items()}
        found = {name: median for name, median in medians.items() if median}
        return cls(artifact=artifact, medians=found) if len(found) > 1 else None


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
