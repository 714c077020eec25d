"""Cycles of an inference: each block by its core's scheduler, and lines that come from memory."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from edgekit.cycle_model import in_order, out_of_order
from edgekit.cycle_model.blocks import Block, Counts
from edgekit.cycle_model.boards import LINE, memories_of
from edgekit.cycle_model.core_table import in_order_core, out_of_order_core
from edgekit.cycle_model.kinds import by_class
from edgekit.transports.emulation.cpus import CpuName

METHOD = 2
"""Counted up when the same file would get other cycles. By 2 only the thread that runs the model is
counted, by 1 all of them were."""
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

    @property
    def core_ms(self) -> float:
        return self.cycles / memories_of(self.core).ghz / 1e6

    @property
    def memory_ms(self) -> float:
        """Lines from DRAM at its bandwidth. Nothing overlaps: on these boards that is nearest."""
        return self.misses[-1] * LINE / memories_of(self.core).bandwidth / 1e6

    @property
    def milliseconds(self) -> float:
        return self.core_ms + self.memory_ms

    @property
    def instructions_a_cycle(self) -> float:
        return self.instructions / self.cycles


def cycles_of(counts: Counts, core: CpuName) -> Cycles:
    schedule = _scheduler(core)
    executed, scheduled, cycles = counts.instructions, 0, 0.0
    busiest = sorted(counts.blocks.items(), key=lambda item: -item[1] * len(item[0]))
    for block, times in busiest[:MOST_BLOCKS]:
        if scheduled >= SCHEDULED * executed:
            break
        scheduled += times * len(block)
        cycles += times * schedule(block)
    return Cycles(
        core=core,
        instructions=executed,
        by_class=by_class(counts),
        cycles=cycles * executed / scheduled,
        accesses=counts.accesses,
        misses=counts.misses,
    )


def _scheduler(core: CpuName) -> Callable[[Block], float]:
    if core == "cortex-a53":
        slow = in_order_core(core)
        return lambda block: in_order.block_cycles(slow, block)
    wide = out_of_order_core(core)
    return lambda block: out_of_order.block_cycles(wide, block)
