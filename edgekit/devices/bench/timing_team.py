"""Several devices of one kind, as one machine that models are timed on.

Each measurement goes to whichever is free, one at a time a device. A device that vanishes, or whose
run is no result, is set aside until the command ends, and its work goes to another. All processes
of the command know of both by a file for each device, which they lock beside the lease.
"""

from __future__ import annotations

import fcntl
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar

from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.device import messages_to
from edgekit.engine.action import Progress
from edgekit.engine.artifact import Json, digest_of
from edgekit.engine.lease import lease_file, open_lock
from edgekit.errors import OF_THE_FILE, DeviceError, InputError, storage_errors
from edgekit.evaluation.timing import Candidate, MeasureResult
from edgekit.transports.base import Listener

Found = TypeVar("Found")
_PAUSE = 0.1


@dataclass(frozen=True)
class TimingTeam(TimingDevice):
    members: tuple[TimingDevice, ...] = ()
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Of the command: what it sets aside, the next one tries again."""

    def identity(self) -> Json:
        return {"devices": [member.identity() for member in self.members]}

    def time(self, candidates: list[Candidate], images: Path, progress: Progress) -> MeasureResult:
        return self.on_one(
            lambda one: one.time(candidates, images, progress), messages_to(progress)
        )

    def on_one(self, work: Callable[[TimingDevice], Found], on_message: Listener) -> Found:
        """
        Raises:
            DeviceError: no device is left, or the file is to blame.
        """
        while True:
            with self._claimed(self.members) as (member, claim):
                try:
                    return work(member)
                except DeviceError as error:
                    self._set_aside(member, claim, error, on_message)

    def on_each(
        self, work: Callable[[TimingDevice], Found], on_message: Listener
    ) -> dict[str, Found]:
        """What each of them measures, by name, without those that are set aside.

        Raises:
            DeviceError: no device is left, or the file is to blame.
        """
        found = {}
        for one in self.members:
            if self._reason(one):
                continue
            with self._claimed([one]) as (member, claim):
                try:
                    found[member.name] = work(member)
                except DeviceError as error:
                    self._set_aside(member, claim, error, on_message)
        return found

    @contextmanager
    def _claimed(self, members: Sequence[TimingDevice]) -> Iterator[tuple[TimingDevice, BinaryIO]]:
        """The first that is free; waits where all are at work."""
        while True:
            well = [member for member in members if not self._reason(member)]
            if not well:
                reasons = "; ".join(f"{one.name}: {self._reason(one)}" for one in members)
                raise DeviceError(
                    f"no device is left to measure on: {reasons}",
                    hint="edgekit device check NAME says how a device is; the same command goes on",
                )
            for member in well:
                with _opened(member) as claim:
                    try:
                        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    if not self._reason(member):  # it may have been set aside meanwhile
                        yield member, claim
                        return
            time.sleep(_PAUSE)

    def _reason(self, member: TimingDevice) -> str:
        """Why it is set aside; empty where it is well."""
        with _opened(member) as stream:
            run, _, why = stream.read().decode(errors="replace").partition("\n")
        return why if run == self.run else ""

    def _set_aside(
        self, member: TimingDevice, claim: BinaryIO, error: DeviceError, on_message: Listener
    ) -> None:
        if error.fault in OF_THE_FILE:
            raise error
        claim.seek(0)
        claim.truncate()
        claim.write(f"{self.run}\n{error.message}".encode())
        claim.flush()
        on_message(f"{member.name} is set aside: {error.message}; another device measures")


def _opened(member: TimingDevice) -> BinaryIO:
    """What all commands of the user lock for a device."""
    path = lease_file()
    with storage_errors(path.parent):
        return open_lock(path.with_name(f"{path.name}-{digest_of(member.name)[:12]}"))


def team_of(members: Sequence[TimingDevice]) -> TimingDevice:
    """
    Raises:
        InputError: they are of different kinds.
    """
    first, *others = sorted(members, key=lambda one: one.name)
    for other in others:
        if other.target != first.target or other.is_timed != first.is_timed:
            kinds = [f"{one.name} is {one.target.name}, {one.evidence}" for one in (first, other)]
            raise InputError(
                f"devices that share the measuring are of one kind: {'; '.join(kinds)}",
                hint="build for each kind apart",
            )
    if not others:
        return first
    name = "+".join(one.name for one in (first, *others))
    return TimingTeam(name, first.transport, first.target, members=(first, *others))
