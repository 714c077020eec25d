"""The latency of a model file with one thread on a modelled core, estimated: `estimate_file`."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edgekit.cycle_model.accuracy import Spread, accuracy, spread_of
from edgekit.cycle_model.boards import memories_of
from edgekit.cycle_model.counting import Run, count
from edgekit.cycle_model.cycles import METHOD, Cycles, cycles_of
from edgekit.engine.action import library_versions
from edgekit.engine.artifact import digest_of, sha256_of
from edgekit.engine.atomic import write_atomically
from edgekit.engine.store import Store
from edgekit.errors import STORE_VARIABLE, storage_errors
from edgekit.evidence import Evidence, Measurement
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.description import Port
from edgekit.transports.base import Listener, ignore
from edgekit.transports.emulation.cpus import CpuName

RUNTIMES = ("litert", "onnxruntime")
"""Those whose wheels the emulated processor has."""


class CycleEstimate(BaseModel):
    """A latency that was computed, what it rests on, and how sure it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    core: CpuName
    board: str
    threads: int = 1
    library: str
    """The runtime and its version, whose arm64 kernels were counted."""
    latency: Measurement
    """Milliseconds."""
    cycles: Cycles
    ipc: float
    """Instructions a cycle, were every load to hit the first cache."""
    memory_share: float
    """Share of the time that goes into lines from DRAM."""

    def ratio_to(self, other: CycleEstimate) -> Measurement:
        """This latency over that of another file on the same core."""
        value = self.latency.value / other.latency.value
        spread = spread_of(self.core, "ratio")
        low, high = spread.around(value)
        return Measurement(
            value=value,
            unit="ratio",
            evidence=Evidence.ESTIMATED,
            method=f"{_method(self.core)}; {_coverage(spread)}",
            low=low,
            high=high,
        )


def estimate_file(
    runtime: Runtime,
    file: Path,
    port: Port,
    core: CpuName,
    store: Store,
    on_message: Listener = ignore,
) -> CycleEstimate:
    """Count and price one inference, or take what was counted of the same file before.

    Args:
        port: what the file takes.

    Raises:
        DeviceError: a program that counting needs is missing, or the run failed.
        StorageError: the store cannot be written.
    """
    library = f"{runtime.engine} {library_versions((runtime.engine,))[runtime.engine]}"
    key = digest_of([sha256_of(file), library, core, METHOD])[:32]
    path = store.root / "cycles" / f"{key}.json"
    cycles = _known(path)
    if cycles is None:
        run = Run(file, runtime.name, port.shape, port.dtype)
        cycles = cycles_of(count(run, core, on_message), core)
        with storage_errors(store.root, STORE_VARIABLE):
            write_atomically(path, json.dumps(cycles.model_dump(mode="json")))
    return estimated(cycles, library)


def _known(path: Path) -> Cycles | None:
    try:
        return Cycles.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def estimated(cycles: Cycles, library: str) -> CycleEstimate:
    """The figure of counted cycles, with the interval that other networks' latencies give it."""
    core = cycles.core
    spread = spread_of(core, "absolute")
    low, high = spread.around(cycles.milliseconds)
    return CycleEstimate(
        core=core,
        board=memories_of(core).board,
        library=library,
        latency=Measurement(
            value=cycles.milliseconds,
            unit="ms",
            evidence=Evidence.ESTIMATED,
            method=f"{_method(core)}; {_coverage(spread)}",
            low=low,
            high=high,
        ),
        cycles=cycles,
        ipc=cycles.instructions_a_cycle,
        memory_share=cycles.memory_ms / cycles.milliseconds,
    )


def _method(core: CpuName) -> str:
    board = memories_of(core)
    return (
        f"cycle model {METHOD}: instructions executed under qemu-user, scheduled for the "
        f"{core.title()} at {board.ghz:g} GHz, and missed cache lines at {board.bandwidth:g} GB/s; "
        f"one thread, {board.board}; fitted: {accuracy().fitted}"
    )


def _coverage(spread: Spread) -> str:
    return (
        f"the interval is as wide as errors of cycle model {accuracy().method} were in nine in ten "
        f"of {spread.cases}"
    )
