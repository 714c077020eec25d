"""The boards whose cores are modelled: clock, caches and memory bandwidth, from boards.json."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, TypeAdapter

from edgekit.errors import InputError
from edgekit.transports.emulation.cpus import CPUS, CpuName

LINE = 64
"""Bytes of a cache line."""


class Memories(BaseModel):
    """A core and what is around it on its board."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    board: str
    ghz: float
    bandwidth: float
    """10^9 bytes a second that one core reads from DRAM in a stream."""
    line_cycles: float = 0
    """Cycles that a line adds which the first cache did not hold, fitted to published latencies."""
    caches: tuple[tuple[int, int], ...]
    """KiB and ways, from the first level on."""
    source: str

    def milliseconds(self, misses: Sequence[float]) -> float:
        """Of lines that were not at hand, those of DRAM at its bandwidth. Nothing overlaps: that is
        nearest on these boards.

        Args:
            misses: lines that each level of cache did not hold.
        """
        later = misses[0] * self.line_cycles / self.ghz
        return (later + misses[-1] * LINE / self.bandwidth) / 1e6

    @property
    def plugin_options(self) -> list[str]:
        """cache=SETS:WAYS of each level."""
        return [f"cache={kib * 1024 // LINE // ways}:{ways}" for kib, ways in self.caches]


def memories_of(core: CpuName) -> Memories:
    return _boards()[core]


@cache
def _boards() -> dict[CpuName, Memories]:
    text = files(__package__).joinpath("boards.json").read_text(encoding="utf-8")
    return TypeAdapter(dict[CpuName, Memories]).validate_json(text)


def need_modelled_core(cpu: str) -> CpuName:
    """The core by the name that compilers give it.

    Raises:
        InputError: there is no model of its pipeline.
    """
    core = next((core for core in CPUS if core == cpu), None)
    if core is None:
        raise InputError(
            f"no latency can be estimated on {cpu}: its pipeline is not modelled",
            hint=f"those of {', '.join(CPUS)} are; elsewhere measure: edgekit bench --device NAME",
        )
    return core
