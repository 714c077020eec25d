"""One latency that all points share, so that they can be held against each other: a device's
milliseconds; those that are estimated for the target's core; or times a reference on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgekit.cycle_model.boards import memories_of
from edgekit.cycle_model.file_estimate import RUNTIMES
from edgekit.devices.bench.team_spread import SpreadOfTeam, spread_of
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.bench.timing_team import TimingTeam
from edgekit.devices.estimate.modelled_target import core_of
from edgekit.engine.artifact import Artifact
from edgekit.engine.crew import Crew, aside
from edgekit.engine.executor import Executor
from edgekit.engine.lease import computing
from edgekit.engine.observer import Observer
from edgekit.engine.store import Store
from edgekit.errors import OF_THE_FILE, DeviceError, EdgekitError
from edgekit.evaluation.device_spread import DeviceSpread
from edgekit.evidence import InvalidMeasurement, Measurement
from edgekit.model_search.built import MACHINES
from edgekit.model_search.device_latency import BoardFailed, LatencyOnDevice
from edgekit.model_search.points import Figure, PointRecord
from edgekit.model_search.relative_latency import RelativeLatency, TimedFile, timed
from edgekit.pipeline.target_core import estimate_artifact, need_counting
from edgekit.spec.target import Target
from edgekit.transports.emulation.cpus import CpuName

AGAIN = "when the device is well again, the same command goes on where it was"


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
    crew: Crew | None = field(default=None, kw_only=True)
    spread: DeviceSpread | None = field(default=None, init=False)
    """How far the devices that share the timing differ."""
    _of_spread: tuple[SpreadOfTeam, dict[str, Artifact]] | None = field(default=None, init=False)
    """By which that is measured: of the first file that is timed."""
    _no_spread: bool = field(default=False, init=False)

    @property
    def unit(self) -> str:
        return "x" if self.needs_reference else "ms"

    @property
    def needs_reference(self) -> bool:
        return self.board is None and self.core is None

    def hold_against(self, file: TimedFile, what: str) -> None:
        """
        Args:
            what: the reference, in words.
        """
        self.reference, self.words = file, against(what)

    def latency(self, file: TimedFile) -> Figure:
        """
        Raises:
            DeviceError: it cannot be run, or not be counted.
            BoardFailed: the board cannot be asked or believed, whatever the file.
        """
        if self.core:
            if file.runtime not in RUNTIMES:
                raise DeviceError(f"{file.runtime} is not emulated")
            remark = self.observer.remark
            args = (file.artifact, file.runtime, self.core, self.store, remark)
            with aside(self.crew), computing():
                return estimate_artifact(*args).latency
        with Executor(self.store, self.observer, self.crew) as executor:
            if self.board:
                return self._on_board(self.board, file, executor)
            assert self.reference
            pair = {
                "model": file.artifact,
                "reference": self.reference.artifact,
                "images": file.images,
                "reference_images": self.reference.images,
            }
            action = RelativeLatency(file.runtime, self.reference.runtime, self.device)
            return timed(executor, action, pair)

    def _on_board(self, board: TimingDevice, file: TimedFile, executor: Executor) -> Measurement:
        given = {"model": file.artifact, "images": file.images}
        try:
            found = timed(executor, LatencyOnDevice(file.runtime, board, self.device), given)
        except DeviceError as error:
            if error.fault in OF_THE_FILE:
                raise
            raise BoardFailed(error.message, hint=error.hint or AGAIN, fault=error.fault) from error
        if isinstance(found, InvalidMeasurement):
            raise BoardFailed(f"{board.name} cannot be timed on now: {found.reason}", hint=AGAIN)
        if isinstance(board, TimingTeam):
            self._tell_spread(board, file, executor)
        return widened(found, self.spread) if self.spread else found

    def _tell_spread(self, team: TimingTeam, file: TimedFile, executor: Executor) -> None:
        """Whoever comes meanwhile waits for it: no latency goes without."""
        if self.spread or self._no_spread:
            return
        given = {"model": file.artifact, "images": file.images}
        self._of_spread = self._of_spread or (SpreadOfTeam(file.runtime, team, self.device), given)
        try:
            found = spread_of("one file", *self._of_spread, executor)
        except DeviceError as error:
            told, self._no_spread = self._no_spread, True
            if not told:
                self.observer.remark(error.message)
            return
        if not self.spread:
            self.observer.remark(found.sentence)
        self.spread = found


def widened(found: Measurement, spread: DeviceSpread) -> Measurement:
    """With an interval that holds for any of the devices."""
    low, high = found.low or found.value, found.high or found.value
    return found.model_copy(
        update={
            "low": low / spread.ratio,
            "high": high * spread.ratio,
            "method": f"{found.method}, widened by how far the devices differ",
        }
    )


def time_file(watch: Stopwatch, found: PointRecord, file: TimedFile) -> None:
    """
    Raises:
        StorageError, IntegrityError, MissingPackage, BoardFailed: the machine failed, not the file.
    """
    if watch.needs_reference and watch.reference is None:
        watch.reference = file
    found.no_latency = ""
    try:
        found.latency = watch.latency(file)
    except MACHINES:
        raise
    except EdgekitError as error:
        found.latency, found.no_latency = None, error.message


def stopwatch(
    target: Target,
    board: TimingDevice | None,
    reference: str,
    store: Store,
    observer: Observer,
    asked: Literal["ms", "multiple"] | None = None,
    crew: Crew | None = None,
) -> Stopwatch:
    """
    Args:
        reference: what latencies on this machine are held against, in words.
        asked: what limits are in: a multiple is of no board; for milliseconds what an estimate
            needs is fetched.
    """
    if board and board.is_timed:
        words = f"ms on {board.name}, measured"
        return Stopwatch(words, store, observer, board=board, device=target.device, crew=crew)
    core = core_of(target)
    why = "a multiple was asked for"
    if asked != "multiple":
        why = _why_not_estimated(core, target, observer, fetch=asked == "ms")
    if core and not why:
        where = f"ms on a {memories_of(core).board} with one thread, estimated"
        return Stopwatch(where, store, observer, core=core, crew=crew)
    words = against(reference)
    return Stopwatch(words, store, observer, why_no_ms=why, device=target.device, crew=crew)


def _why_not_estimated(
    core: CpuName | None, target: Target, observer: Observer, fetch: bool
) -> str:
    """Empty where latencies can be estimated."""
    if core is None:
        return f"nothing models {target.cpu}, the processor of {target.name}"
    try:
        need_counting(core, target, observer.remark if fetch else None)
    except EdgekitError as error:
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return ""


def against(reference: str) -> str:
    return f"times the latency of {reference} on this machine"
