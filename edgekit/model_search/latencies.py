"""One latency that all points share, so that they can be held against each other: a device's
milliseconds; those that are estimated for the target's core; or times a reference on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.cycle_model.boards import memories_of
from edgekit.cycle_model.file_estimate import RUNTIMES
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.estimate.modelled_target import core_of
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Observer
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, EdgekitError
from edgekit.model_search.device_latency import LatencyOnDevice
from edgekit.model_search.points import Figure
from edgekit.model_search.relative_latency import RelativeLatency, TimedFile, timed
from edgekit.pipeline.target_core import estimate_artifact, need_counting
from edgekit.spec.target import Target
from edgekit.transports.emulation.cpus import CpuName


@dataclass
class Stopwatch:
    """Tells the latency of any file, as `words` says."""

    words: str
    store: Store
    observer: Observer
    board: TimingDevice | None = None
    core: CpuName | None = None
    reference: TimedFile | None = None
    """What latencies on this machine are held against; None until there is one."""
    why_no_ms: str = ""
    """Why neither a device nor an estimate tells milliseconds; empty where one does."""
    device: str = field(default="CPU", kw_only=True)

    @property
    def unit(self) -> str:
        return "x" if self.needs_reference else "ms"

    @property
    def needs_reference(self) -> bool:
        return self.board is None and self.core is None

    def latency(self, file: TimedFile) -> Figure:
        """
        Raises:
            DeviceError: it cannot be run, or not be counted.
        """
        if self.core:
            if file.runtime not in RUNTIMES:
                raise DeviceError(f"{file.runtime} is not emulated")
            remark = self.observer.remark
            args = (file.artifact, file.runtime, self.core, self.store, remark)
            return estimate_artifact(*args).latency
        with Executor(self.store, self.observer) as executor:
            if self.board:
                given = {"model": file.artifact, "images": file.images}
                return timed(
                    executor, LatencyOnDevice(file.runtime, self.board, self.device), given
                )
            assert self.reference
            pair = {
                "model": file.artifact,
                "reference": self.reference.artifact,
                "images": file.images,
                "reference_images": self.reference.images,
            }
            action = RelativeLatency(file.runtime, self.reference.runtime)
            return timed(executor, action, pair)


def stopwatch(
    target: Target,
    board: TimingDevice | None,
    reference: str,
    store: Store,
    observer: Observer,
    relative: bool = False,
) -> Stopwatch:
    """
    Args:
        reference: what latencies on this machine are held against, in words.
        relative: they are what is asked for.
    """
    if board and board.is_timed and not relative:
        words = f"ms on {board.name}, measured"
        return Stopwatch(words, store, observer, board=board, device=target.device)
    words = f"times the latency of {reference} on this machine"
    core = core_of(target)
    if relative or core is None:
        why = "a multiple was asked for" if relative else _not_modelled(target)
        return Stopwatch(words, store, observer, why_no_ms=why)
    try:
        need_counting(core, target)
    except EdgekitError as error:
        why = f"{error.message} ({error.hint})" if error.hint else error.message
        return Stopwatch(words, store, observer, why_no_ms=why)
    where = f"ms on a {memories_of(core).board} with one thread, estimated"
    return Stopwatch(where, store, observer, core=core)


def _not_modelled(target: Target) -> str:
    return f"nothing models {target.cpu}, the processor of {target.name}"
