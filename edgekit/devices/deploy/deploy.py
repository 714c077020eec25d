"""Put a model on a device so that there is always one that works.

A release is checked against its sums and must give back the golden scores before `current` is
switched. Whatever fails, wherever the connection breaks, `current` stays what it was.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edgekit.devices.agent_result import Golden
from edgekit.devices.bench.validity import golden_complaint
from edgekit.devices.bundle.bundle import RESULT, SMOKE, Bundle
from edgekit.devices.check import need_links
from edgekit.devices.deploy.releases import ReleaseStore, sums_of
from edgekit.devices.device import Device, Runner, check_machine
from edgekit.devices.lock import held
from edgekit.errors import DeviceError, EdgekitError, Fault
from edgekit.spec.yamlfile import suggestion
from edgekit.transports.base import Listener, Transport, ignore

GoldenRunner = Callable[[Device, str], Golden]
"""Runs the golden images of a release, given the folder it lies in."""
KEEP = 3
WAKE_SECONDS = 0.2


class DeployState(StrEnum):
    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    WOULD_DEPLOY = "would deploy"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"


@dataclass(frozen=True)
class DeployResult:
    """What came of one device."""

    device: str
    state: DeployState
    release: str
    seconds: float
    sent_bytes: int = 0
    golden_max_abs_diff: float | None = None
    error: EdgekitError | None = None
    note: str | None = None
    """What went wrong after all was done, and does no harm."""

    def as_json(self) -> dict[str, Any]:
        fault = self.error.fault if isinstance(self.error, DeviceError) else None
        return {
            "device": self.device,
            "state": self.state,
            "release": self.release,
            "seconds": round(self.seconds, 3),
            "sent_bytes": self.sent_bytes,
            "golden_max_abs_diff": self.golden_max_abs_diff,
            "note": self.note,
            "error": self.error.message if self.error else None,
            "hint": self.error.hint if self.error else None,
            "fault": fault,
        }


def on_each(
    devices: dict[str, Transport], work: Callable[[Device], DeployResult], release: str = ""
) -> list[DeployResult]:
    """Do something on several devices at once: what fails on one is told with the others. Ctrl-C
    ends each before its next step, and is told likewise."""
    interrupted = threading.Event()

    def one(name: str) -> DeployResult:
        begin = time.monotonic()
        try:
            with Device(name, devices[name], interrupted) as device:
                return work(device)
        except EdgekitError as error:
            failed = error
        except Exception as error:
            # Of edgekit's own: the other devices' results are told all the same.
            failed = EdgekitError(
                f"{name}: a fault of edgekit's own: {type(error).__name__}: {error}",
                hint="run again with --debug and report what it prints",
            )
            failed.__cause__ = error
        return DeployResult(
            name, DeployState.FAILED, release, time.monotonic() - begin, error=failed
        )

    with ThreadPoolExecutor(max(1, len(devices))) as pool:
        begun = [pool.submit(one, name) for name in devices]
        try:
            # Woken now and then: a signal that another thread took does not end a wait.
            while wait(begun, timeout=WAKE_SECONDS).not_done:
                pass
        except KeyboardInterrupt:
            interrupted.set()
        return [outcome.result() for outcome in begun]


@dataclass(frozen=True)
class Deployment:
    """A bundle on its way, to one device or to many."""

    bundle: Bundle
    release: str
    keep: int = KEEP
    dry_run: bool = False
    trial: GoldenRunner | None = None
    """Where no Python runs; the agent, unless named."""
    on_message: Listener = ignore
    """Called with what is waited for."""

    def to(self, device: Device) -> DeployResult:
        """Deploy to one device.

        Raises:
            DeviceError: it could not be done; `current` there is what it was.
        """
        begin = time.monotonic()
        runner: Runner = "shell" if self.trial else "python"
        check_machine(device, self.bundle.info.machine, self.bundle.info.target, runner)
        need_links(device)
        if self.dry_run:
            state, size, difference, note = self._compare(device)
        else:
            with held(device, self.on_message):
                state, size, difference, note = self._deploy(device)
        spent = time.monotonic() - begin
        return DeployResult(device.name, state, self.release, spent, size, difference, note=note)

    def _compare(self, device: Device) -> Done:
        place, sums = ReleaseStore(device, self.bundle.info.name), sums_of(self.bundle.files)
        if place.current() == self.release and not place.damaged(self.release, sums):
            return DeployState.UNCHANGED, 0, None, None
        size = sum(path.stat().st_size for path in device.missing(list(self.bundle.files.values())))
        device.need(size, self.bundle.info.name)
        return DeployState.WOULD_DEPLOY, size, None, None

    def _deploy(self, device: Device) -> Done:
        state, size, _, _ = self._compare(device)
        if state is DeployState.UNCHANGED:
            return state, 0, None, None
        place, files = ReleaseStore(device, self.bundle.info.name), self.bundle.files
        sums = sums_of(files)
        with place.part(self.release) as part:
            device.place(files, part)
            place.check(part, sums)
            golden = (self.trial or by_agent)(device, part)
            difference = prove(device, golden, self.bundle.info.subject.precision)
            place.move_in(part, self.release, sums)
        note = switched(place, self.release, self.on_message)
        return DeployState.DEPLOYED, size, difference, note or place.tidied(self.keep)


Done = tuple[DeployState, int, float | None, str | None]
"""The state, the bytes sent, the difference from the golden scores, and the note."""


def switched(place: ReleaseStore, release: str, on_message: Listener) -> str | None:
    """Switch, and where the connection breaks in it, look what came of it.

    Returns:
        a note, where it was done and the connection broke all the same.

    Raises:
        DeviceError: another release is in use than this one, or nobody knows.
    """
    try:
        place.switch(release)
    except DeviceError as error:
        if place.device.reach_again(on_message) is None:
            error.hint = "whether it is in use now is not known: deploy it again, which changes "
            error.hint += "nothing where it is"
            raise
        if place.current() != release:
            raise
        return f"it is in use, and then: {error.message}"
    return None


def roll_back(
    device: Device, name: str, trial: GoldenRunner | None = None, on_message: Listener = ignore
) -> DeployResult:
    """Put the release before this one in use again, after it was checked and tried out.

    Args:
        trial: as of a `Deployment`.
        on_message: called with what is waited for.

    Raises:
        DeviceError: there is none, or it does not work any more.
    """
    begin = time.monotonic()
    with held(device, on_message):
        place = ReleaseStore(device, name)
        before = place.previous()
        if before is None:
            known = device.sh(
                f"ls {shlex.quote(f'{device.home}/models')} 2>/dev/null || true"
            ).split()
            raise DeviceError(
                f"{device.name}: {name} has no release before the one in use"
                if name in known
                else f"{device.name}: no model {name} was deployed there",
                hint=f"`ls {place.folder}/releases` there shows what is kept"
                if name in known
                else suggestion(name, known),
            )
        if before == place.current():
            raise DeviceError(
                f"{device.name}: the release before the one in use is not known: a switch was "
                "broken off",
                hint=f"deploy the one you want; `ls {place.folder}/releases` there shows what is "
                "kept",
            )
        folder = f"{place.folder}/releases/{before}"
        place.check(folder, place.own_sums(before))
        golden = (trial or by_agent)(device, folder)
        difference = prove(device, golden, place.precision(before))
        note = switched(place, before, on_message)
    spent = time.monotonic() - begin
    return DeployResult(
        device.name,
        DeployState.ROLLED_BACK,
        before,
        spent,
        golden_max_abs_diff=difference,
        note=note,
    )


def prove(device: Device, golden: Golden, precision: str) -> float:
    """
    Returns:
        the largest difference from the golden scores.

    Raises:
        DeviceError: it is too large.
    """
    wrong = golden_complaint(golden, precision)
    if wrong:
        raise DeviceError(
            f"{device.name}: {wrong}; the release was not put in use",
            hint="the runtime there computes something else: `edgekit bench` shows how far it "
            "is off; `edgekit device setup` installs the versions the build used",
            fault=Fault.WRONG_RESULT,
        )
    return golden.max_abs_diff


def by_agent(device: Device, folder: str) -> Golden:
    """The agent on the device runs the golden images."""
    golden = device.run_agent(folder, SMOKE, lambda *_: None).golden
    device.forget(f"{folder}/{RESULT}")
    assert golden is not None  # the smoke job asks for nothing else
    return golden
