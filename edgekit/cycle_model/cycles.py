"""Cycles of an inference: each block by its core's scheduler, and lines that come from memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel, ConfigDict

from edgekit.cycle_model import in_order, out_of_order
from edgekit.cycle_model.blocks import Block, Counts
from edgekit.cycle_model.boards import memories_of
from edgekit.cycle_model.core_table import in_order_core, out_of_order_core
from edgekit.cycle_model.kinds import by_class
from edgekit.transports.emulation.cpus import CpuName

METHOD = 3
"""Counted up when the same file would get another latency. By 3 a line from the Cortex-A72's second
cache costs cycles; by 1 all threads were counted, not only the one that runs the model."""
SCHEDULED, MOST_BLOCKS = 0.995, 600
"""Share of the executed instructions whose blocks are scheduled, the busiest first, and how many
blocks at most; the rest is taken to be as slow as they are. A network needs 20 to 560; in a tiny
one the interpreter around it runs thousands."""


class Cycles(BaseModel):
    """What one inference with one thread costs a core, before any clock or error is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    core: CpuName
    method: int = METHOD
    instructions: int
    by_class: dict[str, int]
    cycles: float
    """Were every load to hit the first cache."""
    accesses: int
    misses: tuple[int, ...]
    """Lines that each level of cache did not hold."""
    cpu_seconds: float = 0
    """That counting took."""

    @property
    def core_ms(self) -> float:
        return self.cycles / memories_of(self.core).ghz / 1e6

    @property
    def memory_ms(self) -> float:
        """Of lines that the first cache did not hold."""
        return memories_of(self.core).milliseconds(self.misses)

    @property
    def milliseconds(self) -> float:
        return self.core_ms + self.memory_ms

    @property
    def instructions_a_cycle(self) -> float:
        return self.instructions / self.cycles


def cycles_of(counts: Counts, core: CpuName) -> Cycles:
    return Cycles(
        core=core,
        instructions=counts.instructions,
        by_class=by_class(counts),
        cycles=Prices(counts, core).of(counts.blocks),
        accesses=counts.accesses,
        misses=counts.misses,
    )


class Prices:
    """Cycles of the blocks that a run executes."""

    def __init__(self, counts: Counts, core: CpuName) -> None:
        executed, scheduled, cycles = counts.instructions, 0, 0.0
        self._scheduled: dict[Block, float] = {}
        busiest = sorted(counts.blocks.items(), key=lambda item: -item[1] * len(item[0]))
        for block, times in busiest[:MOST_BLOCKS]:
            if scheduled >= SCHEDULED * executed:
                break
            self._scheduled[block] = _cycles(core, block)
            scheduled += times * len(block)
            cycles += times * self._scheduled[block]
        self._otherwise = cycles / scheduled
        """Of an instruction in any other block."""

    def of(self, blocks: Mapping[Block, float]) -> float:
        """Cycles of the run, or of a part of it, were every load to hit the first cache.

        Args:
            blocks: and how often they ran.
        """
        return sum(
            times * self._scheduled.get(block, self._otherwise * len(block))
            for block, times in blocks.items()
        )


@lru_cache(100_000)
def _cycles(core: CpuName, block: Block) -> float:
    """The interpreter around many small models is scheduled once."""
    if core == "cortex-a53":
        return in_order.block_cycles(in_order_core(core), block)
    return out_of_order.block_cycles(out_of_order_core(core), block)
