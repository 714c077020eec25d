"""The latency of a model file with one thread on a modelled core, estimated: `estimate_file`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgekit.cycle_model.accuracy import Spread, accuracy, spread_of
from edgekit.cycle_model.blocks import Counts
from edgekit.cycle_model.boards import memories_of
from edgekit.cycle_model.counting import Run, count, count_operators
from edgekit.cycle_model.cycles import METHOD, Cycles, cycles_of
from edgekit.cycle_model.operator_names import as_in_file
from edgekit.cycle_model.operators import VERSION, OperatorShares, shares_of
from edgekit.engine.action import library_versions
from edgekit.engine.artifact import digest_of, sha256_of
from edgekit.engine.atomic import write_atomically
from edgekit.engine.store import Store
from edgekit.errors import STORE_VARIABLE, DeviceError, storage_errors
from edgekit.evidence import Evidence, Measurement
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.description import Operator, Port
from edgekit.transports.base import Listener, ignore
from edgekit.transports.emulation.cpus import CpuName

Kept = TypeVar("Kept", bound=BaseModel)
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
    """Share of the time that goes into lines from DRAM and, on an A72, from the second cache."""
    operators: OperatorShares | None = None
    """None where nobody asked, or they cannot be told apart."""
    no_operators: str = ""
    """Why they cannot be told apart."""

    def ratio_to(self, other: CycleEstimate) -> Measurement:
        """This latency over that of another file on the same core."""
        return ratio_on(self.core, self.latency.value / other.latency.value)


def ratio_on(core: CpuName, value: float) -> Measurement:
    """A ratio of two estimates, with its interval."""
    spread = spread_of(core, "ratio")
    low, high = spread.around(value)
    return Measurement(
        value=value,
        unit="ratio",
        evidence=Evidence.ESTIMATED,
        method=f"{_method(core)}; {_coverage(spread)}",
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
    operators: bool = False,
) -> CycleEstimate:
    """Count and price one inference, or take what was counted of the same file before.

    Args:
        port: what the file takes.
        operators: tell their shares too, for which it is counted once more.

    Raises:
        DeviceError: a program that counting needs is missing, or the run failed.
        StorageError: the store cannot be written.
    """
    library, key = library_of(runtime), key_of(runtime, file, core)
    run = Run(file, runtime.name, port.shape, port.dtype)
    counting = _Counting(run, core, store, key, on_message)
    found = estimated(counting.cycles(), library)
    if not operators:
        return found
    try:
        shares = counting.shares(lambda: runtime.describe(file).operators)
        return found.model_copy(update={"operators": shares})
    except DeviceError as error:
        return found.model_copy(update={"no_operators": error.message})


def library_of(runtime: Runtime) -> str:
    """The runtime and its version, of which the arm64 wheel is counted."""
    return f"{runtime.engine} {library_versions((runtime.engine,))[runtime.engine]}"


def key_of(runtime: Runtime, file: Path, core: CpuName) -> str:
    """By which is kept what was counted of a file."""
    return digest_of([sha256_of(file), library_of(runtime), core, METHOD])[:32]


@dataclass
class _Counting:
    """Of one file on one core. What was counted before is kept by `key`."""

    run: Run
    core: CpuName
    store: Store
    key: str
    on_message: Listener
    _whole: Counts | None = None

    def cycles(self) -> Cycles:
        def count_all() -> Cycles:
            start = cpu_seconds()
            self._whole = count(self.run, self.core, self.on_message)
            counted = cycles_of(self._whole, self.core)
            return counted.model_copy(update={"cpu_seconds": round(cpu_seconds() - start, 1)})

        return kept_or_made(self.store, self.key, Cycles, count_all)

    def shares(self, in_file: Callable[[], Sequence[Operator]]) -> OperatorShares:
        def count_each() -> OperatorShares:
            parts = count_operators(self.run, self.core, self.on_message)
            if self.run.runtime == "litert":
                parts = as_in_file(parts, in_file())
            whole = self._whole or count(self.run, self.core, self.on_message)
            return shares_of(whole, parts, self.core)

        name = f"{self.key}-operators-{VERSION}"
        return kept_or_made(self.store, name, OperatorShares, count_each)


def kept_or_made(store: Store, name: str, kind: type[Kept], make: Callable[[], Kept]) -> Kept:
    known = kept(store, name, kind)
    if known is None:
        known = make()
        keep(store, name, known)
    return known


def kept(store: Store, name: str, kind: type[Kept]) -> Kept | None:
    """What was counted before."""
    try:
        return kind.model_validate_json(_path(store, name).read_bytes())
    except (OSError, ValidationError):
        return None


def keep(store: Store, name: str, record: BaseModel) -> None:
    """
    Raises:
        StorageError: the store cannot be written.
    """
    with storage_errors(store.root, STORE_VARIABLE):
        write_atomically(_path(store, name), record.model_dump_json())


def _path(store: Store, name: str) -> Path:
    return store.root / "cycles" / f"{name}.json"


def cpu_seconds() -> float:
    """Of this process and of those that it waited for."""
    return sum(os.times()[:4])


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
    lines = f"{board.line_cycles:g} cycles a line and " if board.line_cycles else ""
    return (
        f"cycle model {METHOD}: instructions executed under qemu-user, scheduled for the "
        f"{core.title()} at {board.ghz:g} GHz, and missed cache lines at {lines}"
        f"{board.bandwidth:g} GB/s; "
        f"one thread, {board.board}; fitted: {accuracy().fitted}"
    )


def _coverage(spread: Spread) -> str:
    return (
        f"the interval is as wide as errors of cycle model {accuracy().method} were in nine in ten "
        f"of {spread.cases}"
    )
