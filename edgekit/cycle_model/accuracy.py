"""How far estimates lay from published latencies: accuracy.json, and what an interval is made of.

tests/benchmarks/arm_estimate.py writes the file.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.cycle_model.cycles import METHOD
from edgekit.transports.emulation.cpus import CpuName

Statement = Literal["absolute", "ratio"]


class Spread(BaseModel):
    """How far estimates of other networks lay from what is published of them: what an interval is
    made of. It is no statement about the network that is estimated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    """In multiples of an estimate; at least nine in ten of `cases` lay between them."""
    median_error: float
    """Of estimated over published, less one, whatever its sign."""
    cases: str
    """Which figures, how many, and whose."""

    def around(self, value: float) -> tuple[float, float]:
        return value * self.low, value * self.high


class Accuracy(BaseModel):
    """Of one version of the method, by core and kind of statement."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: int
    """By which the networks were estimated."""
    source: str
    fitted: str
    cores: dict[CpuName, dict[Statement, Spread]]


@cache
def accuracy() -> Accuracy:
    text = files(__package__).joinpath("accuracy.json").read_text(encoding="utf-8")
    found = Accuracy.model_validate_json(text)
    if found.method != METHOD:
        raise AssertionError("accuracy.json is of another method: run the benchmark")
    return found


def spread_of(core: CpuName, statement: Statement) -> Spread:
    return accuracy().cores[core][statement]
