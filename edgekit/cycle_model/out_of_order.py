"""Cycles of a block on a core that runs instructions as soon as their operands are there.

The machine of llvm-mca: so many micro-operations are dispatched a cycle, in order; each takes its
units in the first cycle in which its operands are ready and the units are free, older ones first;
and it leaves the reorder buffer in order. Loads hit the first cache; branches are foreseen.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from edgekit.cycle_model.core_table import OutOfOrderCore, OutOfOrderTiming
from edgekit.cycle_model.instructions import decode
from edgekit.cycle_model.vector_instructions import Instruction

WARM_UP = 3
"""Reorder buffers of instructions before the count begins, and that it goes on for."""


def block_cycles(core: OutOfOrderCore, words: Sequence[int]) -> float:
    """Cycles that a block takes where it is repeated, as in a loop."""
    block = [decode(word) for word in words]
    timings = [core.timing(each.kind) for each in block]
    uops = max(1, sum(timing.uops for timing in timings))
    repeats = max(8, WARM_UP * core.reorder // uops)
    machine = _Machine(core)
    for _ in range(repeats):
        machine.run(block, timings)
    start = machine.retired
    for _ in range(repeats):
        machine.run(block, timings)
    return max((machine.retired - start) / repeats, uops / core.width)


class _Machine:
    def __init__(self, core: OutOfOrderCore) -> None:
        self._core = core
        self._ready: dict[int, int] = defaultdict(int)
        self._sum_ready: dict[int, int] = {}
        """Of registers last written by a sum: when another one may add to them."""
        self._busy: list[set[int]] = [set() for _ in range(core.units)]
        self._dispatched, self._slots = 0, core.width
        self._in_flight: deque[tuple[int, int]] = deque()
        self._held = 0
        self.retired = 0

    def run(self, block: Sequence[Instruction], timings: Sequence[OutOfOrderTiming]) -> None:
        for instruction, timing in zip(block, timings, strict=True):
            self._step(instruction, timing)
        for busy in self._busy:
            if len(busy) > 4096:
                busy.intersection_update(range(self._dispatched, self._dispatched + 4096))

    def _step(self, instruction: Instruction, timing: OutOfOrderTiming) -> None:
        start = self._dispatch(timing.uops)
        for register in instruction.reads:
            start = max(start, self._ready[register])
        if instruction.accumulates is not None:
            register = instruction.accumulates
            start = max(start, self._sum_ready.get(register, self._ready[register]))
        for units, cycles in timing.units:
            start = max(start, self._take(units, cycles, start))
        done = start + timing.latency
        for register in instruction.writes:
            self._ready[register] = done
            self._sum_ready.pop(register, None)
        if instruction.accumulates is not None:
            self._sum_ready[instruction.accumulates] = start + timing.accumulate
        if instruction.base is not None:
            self._ready[instruction.base] = start + 1
        self.retired = max(self.retired, done)
        self._in_flight.append((self.retired, timing.uops))
        self._held += timing.uops

    def _dispatch(self, uops: int) -> int:
        """The first cycle with a slot for it, once the reorder buffer has room."""
        while self._in_flight and (
            self._held + uops > self._core.reorder or self._in_flight[0][0] <= self._dispatched
        ):
            leaves, freed = self._in_flight.popleft()
            self._held -= freed
            if leaves > self._dispatched:
                self._dispatched, self._slots = leaves, self._core.width
        cycle = self._dispatched
        while uops > self._slots:
            uops -= self._slots
            self._dispatched, self._slots = self._dispatched + 1, self._core.width
        self._slots -= uops
        return cycle

    def _take(self, units: Sequence[int], cycles: int, start: int) -> int:
        """Hold a group of units for so many cycles in all, each as early as it is free.

        Returns:
            the cycle in which the last of them begins.
        """
        last = start
        for _ in range(cycles):
            cycle = start
            while True:
                free = next((unit for unit in units if cycle not in self._busy[unit]), None)
                if free is not None:
                    break
                cycle += 1
            self._busy[free].add(cycle)
            last = max(last, cycle)
        return last
