"""Cycles of a block on a core that issues at most two instructions a cycle, in order.

A scoreboard of the Cortex-A53. One load or store, one branch and 128 bits of vector arithmetic a
cycle; a load of a vector register shares no cycle with vector arithmetic, and one of 128 bits
issues alone and takes two; a sum may be given four cycles after the one before it. llvm-mca's own
model of this core foresees 0.3 instructions a cycle in matrix products that reach 1.2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgekit.cycle_model.core_table import InOrderCore, InOrderTiming
from edgekit.cycle_model.instructions import decode
from edgekit.cycle_model.vector_instructions import Instruction

REPEATS = 8


def block_cycles(core: InOrderCore, words: Sequence[int]) -> float:
    """Cycles that a block takes where it is repeated, as in a loop."""
    block = [(each := decode(word), core.timing(each.kind)) for word in words]
    machine = _Machine()
    for _ in range(REPEATS):
        for instruction, timing in block:
            machine.step(instruction, timing)
    start = machine.cycle
    for _ in range(REPEATS):
        for instruction, timing in block:
            machine.step(instruction, timing)
    return max((machine.cycle - start) / REPEATS, len(words) / 2)


@dataclass
class _Issued:
    """What the cycle that is being filled holds already."""

    instructions: int = 0
    memory: bool = False
    branch: bool = False
    vector_load: bool = False
    vector: float = 0.0

    def has_room(self, timing: InOrderTiming) -> bool:
        if self.instructions == 2 or (timing.issues_alone and self.instructions):
            return False
        if timing.uses_memory and self.memory:
            return False
        if timing.unit == "branch" and self.branch:
            return False
        if timing.unit == "vector_load" and self.vector:
            return False
        if timing.unit == "vector":
            return not self.vector_load and self.vector + timing.width <= 1
        return True

    def add(self, timing: InOrderTiming) -> None:
        self.instructions += 1
        self.memory |= timing.uses_memory
        self.branch |= timing.unit == "branch"
        self.vector_load |= timing.unit == "vector_load"
        self.vector += timing.width if timing.unit == "vector" else 0


@dataclass
class _Machine:
    cycle: int = 0
    issued: _Issued = field(default_factory=_Issued)
    ready: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    sum_ready: dict[int, int] = field(default_factory=dict)

    def step(self, instruction: Instruction, timing: InOrderTiming) -> None:
        self._wait(instruction)
        if not self.issued.has_room(timing):
            self._advance(1)
        self.issued.add(timing)
        for register in instruction.writes:
            self.ready[register] = self.cycle + timing.latency
            self.sum_ready.pop(register, None)
        if instruction.accumulates is not None:
            self.sum_ready[instruction.accumulates] = self.cycle + timing.accumulate
        if instruction.base is not None:
            self.ready[instruction.base] = self.cycle + 1
        if timing.issues_alone:
            self._advance(timing.cycles)

    def _wait(self, instruction: Instruction) -> None:
        start = max((self.ready[register] for register in instruction.reads), default=0)
        if instruction.accumulates is not None:
            register = instruction.accumulates
            start = max(start, self.sum_ready.get(register, self.ready[register]))
        if start > self.cycle:
            self._advance(start - self.cycle)

    def _advance(self, cycles: int) -> None:
        self.cycle += cycles
        self.issued = _Issued()
