"""Which operators take an estimated time: their shares of it, `shares_of`.

How far off a single operator's share is nobody can say: no such figures are published for a board.
Therefore an operator has a share of the estimate here, and no milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edgekit.cycle_model.blocks import Counts
from edgekit.cycle_model.boards import memories_of
from edgekit.cycle_model.cycles import Prices, cycles_of
from edgekit.cycle_model.profiled import Profiled, summed
from edgekit.printable import shortened
from edgekit.transports.emulation.cpus import CpuName

VERSION = 1
"""Counted up when the same file would get other shares."""
NAMED = 5
"""Operators that a person is told of."""
METHOD = (
    "the same kernels run once more while the runtime profiles them, and no block of instructions "
    "counts more often than it ran without that"
)
FIELDS = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
Share = Annotated[float, Field(ge=0, le=1)]


class OperatorShare(BaseModel):
    model_config = FIELDS

    name: str
    """As the runtime calls it."""
    kind: str
    share: Share
    """Of the estimate."""
    memory_share: Share
    """Of its own time, for lines from DRAM and, on an A72, from the second cache."""
    instructions: int


class OperatorShares(BaseModel):
    model_config = FIELDS

    operators: tuple[OperatorShare, ...]
    """In the order they run."""
    rest: Share
    """Of the estimate that belongs to no operator: the runtime around them."""
    method: str = METHOD

    @property
    def slowest(self) -> list[OperatorShare]:
        return sorted(self.operators, key=lambda one: -one.share)[:NAMED]

    @property
    def unnamed(self) -> int:
        return max(0, len(self.operators) - NAMED)

    @property
    def others(self) -> float:
        """Share of those that are not among the slowest."""
        return max(
            0.0, sum(one.share for one in self.operators) - sum(o.share for o in self.slowest)
        )

    def __str__(self) -> str:
        named = (
            f"{shortened(one.name)} ({one.kind}) {100 * one.share:.0f} %" for one in self.slowest
        )
        return (
            f"{', '.join(named)}; {self.unnamed} others {100 * self.others:.0f} %, the runtime "
            f"around them {100 * self.rest:.0f} %"
        )


def shares_of(whole: Counts, parts: Sequence[Profiled], core: CpuName) -> OperatorShares:
    """
    Args:
        whole: one inference without a profiler.
        parts: its operators, from one with a profiler.
    """
    board, prices = memories_of(core), Prices(whole, core)
    total = cycles_of(whole, core).milliseconds
    together = summed([part.counts for part in parts])
    known = {b: min(1, whole.blocks[b] / times) for b, times in together.blocks.items()}
    lines = [
        min(1, alone / max(1, all_))
        for alone, all_ in zip(whole.misses, together.misses, strict=True)
    ]
    found = []
    for part in parts:
        own = {block: times * known[block] for block, times in part.counts.blocks.items()}
        own_lines = [k * m for k, m in zip(lines, part.counts.misses, strict=True)]
        memory = board.milliseconds(own_lines)
        taken = prices.of(own) / board.ghz / 1e6 + memory
        found.append(
            OperatorShare(
                name=part.name,
                kind=part.kind,
                share=min(1.0, taken / total),
                memory_share=min(1.0, memory / taken) if taken else 0.0,
                instructions=round(sum(times * len(block) for block, times in own.items())),
            )
        )
    rest = 1 - sum(one.share for one in found)
    return OperatorShares(operators=tuple(found), rest=max(0.0, rest))
