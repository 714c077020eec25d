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
from dataclasses import dataclass, replace

from edgekit.devices.agent_answer import Job, JobModel
from edgekit.devices.agent_result import Golden
from edgekit.devices.bench.validity import golden_complaint
from edgekit.devices.bundle.bundle import RESULT, SMOKE, Bundle
from edgekit.devices.bundle.reference import MODEL
from edgekit.devices.check import need_links
from edgekit.devices.deploy.releases import ReleaseStore, sums_of
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.device import Device, Runner, check_machine
from edgekit.devices.lock import held
from edgekit.errors import DeviceError, EdgekitError, Fault
from edgekit.spec.yamlfile import suggestion
from edgekit.transports.base import Listener, Transport, ignore

GoldenRunner = Callable[[Device, str], Golden]
"""Runs the golden images of a release, given the folder it lies in."""
GOLDEN_JOB = Job(models=(JobModel(id=MODEL),), golden={})
"""What stands in smoke.json, as far as its result is held against it."""
KEPT_RELEASES = 3
WAKE_SECONDS = 0.2


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
    keep: int = KEPT_RELEASES
    dry_run: bool = False
    golden_runner: GoldenRunner | None = None
    """Where no Python runs; the agent, unless named."""
    on_message: Listener = ignore
    """Called with what is waited for."""

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
        note = switched(releases, self.release, self.on_message)
        return replace(
            planned,
            state=DeployState.DEPLOYED,
            golden_max_abs_diff=difference,
            note=note or releases.tidied(self.keep),
        )

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


def roll_back(
    device: Device,
    name: str,
    golden_runner: GoldenRunner | None = None,
    on_message: Listener = ignore,
) -> DeployResult:
    """Put the release before this one in use again, after it was checked and tried out.

    Args:
        golden_runner: as of a `Deployment`.
        on_message: called with what is waited for.

    Raises:
        DeviceError: there is none, or it does not work any more.
    """
    begin = time.monotonic()
    with held(device, on_message):
        releases = ReleaseStore(device, name)
        before = _release_before(releases)
        folder = f"{releases.folder}/releases/{before}"
        releases.check(folder, releases.own_sums(before))
        golden = (golden_runner or by_agent)(device, folder)
        difference = prove(device, golden, releases.precision(before))
        note = switched(releases, before, on_message)
    return DeployResult(
        device.name,
        DeployState.ROLLED_BACK,
        before,
        time.monotonic() - begin,
        golden_max_abs_diff=difference,
        note=note,
    )


def _release_before(releases: ReleaseStore) -> str:
    """
    Raises:
        DeviceError: there is none, or it is not known.
    """
    device, name = releases.device, releases.name
    kept = f"`ls {releases.folder}/releases` there shows what is kept"
    before = releases.previous()
    if before is None:
        listed = device.sh(f"ls {shlex.quote(f'{device.home}/models')} 2>/dev/null || true")
        known = listed.split()
        if name in known:
            message = f"{device.name}: {name} has no release before the one in use"
            raise DeviceError(message, hint=kept)
        raise DeviceError(
            f"{device.name}: no model {name} was deployed there", hint=suggestion(name, known)
        )
    if before == releases.current():
        raise DeviceError(
            f"{device.name}: the release before the one in use is not known: a switch was broken "
            "off",
            hint=f"deploy the one you want; {kept}",
        )
    return before


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
    golden = device.run_agent(folder, SMOKE, lambda *_: None, GOLDEN_JOB).golden
    device.forget(f"{folder}/{RESULT}")
    assert golden is not None  # the job asks for it
    return golden
