"""A core that nobody has at hand, as a machine that models are timed on: by their estimates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.cycle_model.boards import memories_of
from edgekit.cycle_model.counting import Run, count_many
from edgekit.cycle_model.cycles import METHOD, Cycles, cycles_of
from edgekit.cycle_model.file_estimate import (
    RUNTIMES,
    cpu_seconds,
    keep,
    kept,
    key_of,
    library_of,
    ratio_on,
)
from edgekit.engine.action import Progress
from edgekit.engine.artifact import Json
from edgekit.engine.store import Store
from edgekit.errors import DeviceError
from edgekit.evaluation.metrics import ratio_of
from edgekit.evaluation.timing import (
    Candidate,
    Machine,
    MeasureResult,
    Timing,
)
from edgekit.evidence import Evidence, Measurement
from edgekit.runtimes import find_runtimes
from edgekit.transports.base import ignore
from edgekit.transports.emulation.cpus import CpuName

AT_ONCE = 40
"""Models that one process of the emulator holds."""
AMONG = "among-others"
"""Ends the names of counts that were made so: of the caches they may differ by a little."""


@dataclass(frozen=True)
class EstimatedCore:
    """With one thread. Each file is counted once and kept by its digest, the runtime's version, the
    core and the version of the method."""

    core: CpuName
    store: Store

    @property
    def name(self) -> str:
        return f"a {memories_of(self.core).board} by estimate"

    @property
    def threads(self) -> int:
        return 1

    @property
    def evidence(self) -> Evidence:
        return Evidence.ESTIMATED

    def identity(self) -> Json:
        versions = {name: library_of(find_runtimes()[name]()) for name in RUNTIMES}
        return {"estimated": self.core, "method": METHOD, "libraries": versions}

    def time(self, candidates: list[Candidate], images: Path, progress: Progress) -> MeasureResult:
        """See `Machine.time`; a round of one run, as an estimate has no noise.

        Raises:
            DeviceError: a runtime that is not emulated, or counting failed.
        """
        found: dict[str, Cycles] = {}
        for start in range(0, len(candidates), AT_ONCE):
            progress(start, len(candidates), f"count instructions for {self.name}")
            found |= self._cycles(candidates[start : start + AT_ONCE])
        spent = sum(cycles.cpu_seconds for cycles in found.values())
        timings = {
            name: Timing(0.0, 0.0, np.array([[1e-3 * cycles.milliseconds]]))
            for name, cycles in found.items()
        }
        return MeasureResult({**self.identity(), "cpu_seconds": round(spent, 1)}, timings=timings)

    def ratio(self, timing: Timing, baseline: Timing) -> Measurement:
        return ratio_on(self.core, timing.typical / baseline.typical)

    def _cycles(self, candidates: list[Candidate]) -> dict[str, Cycles]:
        """Counted together, but for those that were counted before."""
        keys = {one.id: self._key(one) for one in candidates}
        found = {n: known for n, key in keys.items() if (known := kept(self.store, key, Cycles))}
        left = [one for one in candidates if one.id not in found]
        if not left:
            return found
        start = cpu_seconds()
        counts = count_many([_run(one) for one in left], self.core, ignore)
        priced = [cycles_of(count, self.core) for count in counts]
        spent = round((cpu_seconds() - start) / len(left), 2)
        for one, cycles in zip(left, priced, strict=True):
            found[one.id] = cycles.model_copy(update={"cpu_seconds": spent})
            keep(self.store, keys[one.id], found[one.id])
        return found

    def _key(self, one: Candidate) -> str:
        return f"{key_of(find_runtimes()[one.runtime](), one.path, self.core)}-{AMONG}"


def _run(one: Candidate) -> Run:
    """
    Raises:
        DeviceError: its runtime is not emulated.
    """
    if one.runtime not in RUNTIMES:
        raise DeviceError(f"{one.runtime} is not emulated, so no estimate can be made of it")
    port = find_runtimes()[one.runtime]().describe(one.path).input
    return Run(one.path, one.runtime, port.shape, port.dtype)


def ratio_by(machine: Machine, timing: Timing, baseline: Timing) -> Measurement:
    """Of two latencies from one run of a machine, with the interval that it can give."""
    if isinstance(machine, EstimatedCore):
        return machine.ratio(timing, baseline)
    return ratio_of(timing, baseline, machine.evidence)
