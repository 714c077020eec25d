"""Put a model on a device so that there is always one that works.

A release is checked against its sums and must give back the golden scores before `current` is
switched. Whatever fails, wherever the connection breaks, `current` stays what it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.check import need_links
from edgekit.devices.deploy.golden import GoldenRunner, by_agent, prove
from edgekit.devices.deploy.health import Health
from edgekit.devices.deploy.releases import ReleaseStore, sums_of
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.deploy.switching import Switching, switched
from edgekit.devices.device import Device, Runner, check_machine
from edgekit.devices.lock import held
from edgekit.errors import DeviceError, EdgekitError, Fault
from edgekit.transports.base import Listener, Transport, ignore

KEPT_RELEASES = 3
WAKE_SECONDS = 0.2


def on_each(
    devices: dict[str, Transport],
    work: Callable[[Device], DeployResult],
    release: str = "",
    on_result: Callable[[DeployResult], None] = lambda _: None,
    interrupted: threading.Event | None = None,
) -> list[DeployResult]:
    """Do something on several devices at once: what fails on one is told with the others. Ctrl-C
    ends each before its next step, and is told likewise.

    Args:
        on_result: called with what came of each as it is known, by several threads.
        interrupted: is set by Ctrl-C, also where each device had done its last step.
    """
    stop = interrupted or threading.Event()

    def one(name: str) -> DeployResult:
        result = done_on(name)
        on_result(result)
        return result

    def done_on(name: str) -> DeployResult:
        begin = time.monotonic()
        try:
            with Device(name, devices[name], stop) as device:
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
            stop.set()
        return [outcome.result() for outcome in begun]


@dataclass(frozen=True)
class Deployment:
    """A bundle on its way, to one device or to many."""

    bundle: Bundle
    release: str
    keep: int = KEPT_RELEASES
    dry_run: bool = False
    golden_runner: GoldenRunner | None = None
    """Where no Python runs; the agent, unless named."""
    on_message: Listener = ignore
    """Called with what is waited for."""
    health: Health = Health()  # noqa: RUF009  (frozen)
    """What follows the switch; where it fails, the switch is taken back."""

    def to(self, device: Device) -> DeployResult:
        """Deploy to one device.

        Raises:
            DeviceError: it could not be done; `current` there is what it was.
        """
        begin = time.monotonic()
        runner: Runner = "shell" if self.golden_runner else "python"
        check_machine(device, self.bundle.info.machine, self.bundle.info.target, runner)
        need_links(device)
        if self.dry_run:
            result = self._foreseen(device)
        else:
            with held(device, self.on_message):
                result = self._deploy(device)
        return replace(result, seconds=time.monotonic() - begin)

    def _foreseen(self, device: Device) -> DeployResult:
        """What a deployment would do, to the health of what is in use already too."""
        result = self._compare(device)
        if result.state is not DeployState.UNCHANGED or not self.health.is_asked:
            return result
        switch = ReleaseStore(device, self.bundle.info.name).last_switch()
        if switch is None or switch.is_proved:
            return result
        note = "it is in use, and has not shown its health yet: nothing would be sent"
        return replace(result, state=DeployState.WOULD_DEPLOY, note=note)

    def _compare(self, device: Device) -> DeployResult:
        """What is in use already, and what would be sent."""
        releases, files = ReleaseStore(device, self.bundle.info.name), self.bundle.files
        if releases.current() == self.release and not releases.damaged(
            self.release, sums_of(files)
        ):
            return DeployResult(device.name, DeployState.UNCHANGED, self.release)
        missing = device.files.missing(list(files.values()))
        size = sum(path.stat().st_size for path in missing)
        device.files.need(size, self.bundle.info.name)
        return DeployResult(device.name, DeployState.WOULD_DEPLOY, self.release, sent_bytes=size)

    def _deploy(self, device: Device) -> DeployResult:
        planned = self._compare(device)
        releases = ReleaseStore(device, self.bundle.info.name)
        is_there = planned.state is DeployState.UNCHANGED
        difference = None if is_there else self._bring(releases)
        switching, note = self._switching(releases), None
        if releases.current() == self.release:
            switch = releases.last_switch()
            # A deployment that died before its health was shown: this one ends it.
            unproved = switch if switch and not switch.is_proved else None
            if is_there and not unproved:
                if self.health.check:
                    switching.hold_health(None, reload=False)
                return planned
        else:
            unproved = releases.plan_switch(self.release)
            note = switched(releases, self.release, self.on_message)
        if self.health.is_asked:
            difference = switching.hold_health(unproved, reload=True)
        elif is_there:
            return planned
        return replace(
            planned,
            state=DeployState.DEPLOYED,
            golden_max_abs_diff=difference,
            note=note or releases.tidied(self.keep),
        )

    def _bring(self, releases: ReleaseStore) -> float:
        """Have the release there, whole and tried out.

        Returns:
            the largest difference from the golden scores.
        """
        device, files = releases.device, self.bundle.files
        sums = sums_of(files)
        with releases.part(self.release) as part:
            self._lay_out(releases, part, sums)
            golden = (self.golden_runner or by_agent)(device, part)
            difference = prove(device, golden, self.bundle.info.subject.precision)
            size = sum(path.stat().st_size for path in files.values())
            releases.move_in(part, self.release, sums, size)
        return difference

    def look_again(self, device: Device) -> DeployResult:
        """Whether a device on which this was deployed still does well; otherwise the release before
        is put back.

        Raises:
            DeviceError: it does not.
        """
        with held(device, self.on_message):
            releases = ReleaseStore(device, self.bundle.info.name)
            if releases.current() != self.release:
                raise DeviceError(
                    f"{device.name}: another release is in use by now",
                    hint=f"edgekit device models {device.name}",
                )
            self._switching(releases).hold_health(releases.last_switch(), reload=False)
        return DeployResult(device.name, DeployState.UNCHANGED, self.release)

    def _switching(self, releases: ReleaseStore) -> Switching:
        precision = self.bundle.info.subject.precision
        runner = self.golden_runner or by_agent
        return Switching(releases, self.release, precision, self.health, runner, self.on_message)

    def _lay_out(self, releases: ReleaseStore, part: str, sums: dict[str, str]) -> None:
        """The release's files, checked there. What went bad since it was sent is sent once more."""
        device = releases.device
        for last in (False, True):
            device.files.lay_out(self.bundle.files, part)
            try:
                releases.check(part, sums)
                break
            except DeviceError as error:
                if last or error.fault is not Fault.HASH_MISMATCH:
                    raise
                self.on_message(f"{error.message}: sending it again")
