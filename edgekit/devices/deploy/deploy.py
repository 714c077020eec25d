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

from edgekit.devices.agent_answer import Job, JobModel
from edgekit.devices.agent_result import Golden
from edgekit.devices.bench.validity import golden_complaint
from edgekit.devices.bundle.bundle import RESULT, SMOKE, Bundle
from edgekit.devices.bundle.reference import MODEL
from edgekit.devices.check import need_links
from edgekit.devices.deploy.health import Health
from edgekit.devices.deploy.releases import ReleaseStore, sums_of
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.device import Device, Runner, check_machine
from edgekit.devices.lock import held
from edgekit.errors import DeviceError, EdgekitError, Fault
from edgekit.transports.base import Listener, Transport, ignore

GoldenRunner = Callable[[Device, str], Golden]
"""Runs the golden images of a release, given the folder it lies in."""
GOLDEN_JOB = Job(models=(JobModel(id=MODEL),), golden={})
"""What stands in smoke.json, as far as its result is held against it."""
KEPT_RELEASES = 3
WAKE_SECONDS = 0.2


def on_each(
    devices: dict[str, Transport],
    work: Callable[[Device], DeployResult],
    release: str = "",
    on_result: Callable[[DeployResult], None] = lambda _: None,
) -> list[DeployResult]:
    """Do something on several devices at once: what fails on one is told with the others. Ctrl-C
    ends each before its next step, and is told likewise.

    Args:
        on_result: called with what came of each as it is known, by several threads.
    """
    interrupted = threading.Event()

    def one(name: str) -> DeployResult:
        result = done_on(name)
        on_result(result)
        return result

    def done_on(name: str) -> DeployResult:
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
            result = self._compare(device)
        else:
            with held(device, self.on_message):
                result = self._deploy(device)
        return replace(result, seconds=time.monotonic() - begin)

    def _compare(self, device: Device) -> DeployResult:
        """What a deployment would do."""
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
        if planned.state is DeployState.UNCHANGED:
            return planned
        releases, files = ReleaseStore(device, self.bundle.info.name), self.bundle.files
        sums = sums_of(files)
        with releases.part(self.release) as part:
            self._lay_out(releases, part, sums)
            golden = (self.golden_runner or by_agent)(device, part)
            difference = prove(device, golden, self.bundle.info.subject.precision)
            size = sum(path.stat().st_size for path in files.values())
            releases.move_in(part, self.release, sums, size)
        before = releases.current("previous")
        note = switched(releases, self.release, self.on_message)
        self._hold_health(releases, before)
        return replace(
            planned,
            state=DeployState.DEPLOYED,
            golden_max_abs_diff=difference,
            note=note or releases.tidied(self.keep),
        )

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
            self._hold_health(releases, None, again=True)
        return DeployResult(device.name, DeployState.UNCHANGED, self.release)

    def _hold_health(
        self, releases: ReleaseStore, previous: str | None, again: bool = False
    ) -> None:
        """
        Args:
            previous: what was `previous` before the switch.
            again: nothing is to be reloaded.

        Raises:
            DeviceError: it does not do well, and the release before is in use again.
        """
        if not (self.health.is_asked or again):
            return
        device, current = releases.device, f"{releases.folder}/current"
        try:
            if not again:
                self.health.reload_on(device, current)
            golden = (self.golden_runner or by_agent)(device, current)
            prove(device, golden, self.bundle.info.subject.precision)
            self.health.check_on(device, current)
        except DeviceError as error:
            error.message += f"; {self._take_back(releases, previous)}"
            error.args = (error.message,)
            raise

    def _take_back(self, releases: ReleaseStore, previous: str | None) -> str:
        """Put the release before back, also after Ctrl-C and over a way that broke."""
        device = releases.device
        device.interrupted = threading.Event()
        try:
            if device.reach_again(self.on_message) is None:
                return "it is silent, and the release before was not put back"
            releases.switch_back(previous)
            before = releases.current()
            if before:
                self.health.reload_on(device, f"{releases.folder}/current")
        except DeviceError as error:
            return f"and putting the release before back failed: {error.message}"
        return f"release {before[:12]} is in use again" if before else "none is in use, as before"

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


def switched(releases: ReleaseStore, release: str, on_message: Listener) -> str | None:
    """Switch, and where the connection breaks in it, look what came of it.

    Returns:
        a note, where it was done and the connection broke all the same.

    Raises:
        DeviceError: another release is in use than this one, or nobody knows.
    """
    try:
        releases.switch(release)
    except DeviceError as error:
        if releases.device.reach_again(on_message) is None:
            error.hint = "whether it is in use now is not known: deploy it again, which changes "
            error.hint += "nothing where it is"
            raise
        if releases.current() != release:
            raise
        return f"it is in use, and then: {error.message}"
    return None


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
            f"{device.name}: {wrong}",
            hint="the runtime there computes something else: `edgekit bench` shows how far it "
            "is off; `edgekit device setup` installs the versions the build used",
            fault=Fault.WRONG_RESULT,
        )
    return golden.max_abs_diff


def by_agent(device: Device, folder: str) -> Golden:
    """The agent on the device runs the golden images."""
    golden = device.run_agent(folder, SMOKE, lambda *_: None, GOLDEN_JOB).golden
    device.forget(f"{folder}/{RESULT}")
    assert golden is not None  # the job asks for it
    return golden
