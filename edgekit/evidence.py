"""A figure never travels without where it comes from and how sure it is."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, model_validator


class Evidence(StrEnum):
    """Where a figure was seen. Figures of different evidence never share a column."""

    MEASURED = "measured"  # on the target's own device
    EMULATED = "emulated"  # on its instruction set: accuracy only, never latency
    HOST = "host"  # on the machine that builds; latency only as a ratio to the float model
    ESTIMATED = "estimated"  # computed from a model of the device, with that model's error


class Verdict(StrEnum):
    """What a comparison shows, once its interval is taken into account."""

    BETTER = "better"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


class Measurement(BaseModel):
    """One figure: value and unit, 95 % interval where it is a sample, evidence and method."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    unit: str
    evidence: Evidence
    method: str
    samples: int | None = None
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _both_ends_in_order(self) -> Measurement:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has both ends or none")
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ValueError(f"the interval {self.low}..{self.high} is upside down")
        return self
