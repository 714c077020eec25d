"""How far devices of one kind differ on the same file."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict

from edgekit.evidence import Measurement


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
    def of(cls, artifact: str, medians: Mapping[str, Measurement | None]) -> Self | None:
        """None where fewer than two have a latency, as emulated ones have not."""
        found = {name: median for name, median in medians.items() if median}
        return cls(artifact=artifact, medians=found) if len(found) > 1 else None
