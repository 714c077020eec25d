"""Put a model on a device so that there is always one that works.

    <home>/<name>/releases/<sha256>/     one bundle each, whole
    <home>/<name>/current                the one in use: a link, switched atomically
    <home>/<name>/previous               the one before it

A release is checked against its sums and must give back the golden scores before `current` is
switched. Whatever fails, wherever the connection breaks, `current` stays what it was.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from edgekit.devices.bundle import SMOKE, SUMS, Bundle
from edgekit.devices.device import Device
from edgekit.devices.raw import Golden
from edgekit.devices.validity import golden_complaint
from edgekit.errors import DeviceError, EdgekitError, Fault
from edgekit.transports.base import Transport

Trial = Callable[[Device, str], Golden]
KEEP = 3
STALE_DAYS = 7
"""After which a file that was pushed and that no release holds is removed."""


class State(StrEnum):
    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    WOULD_DEPLOY = "would deploy"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What came of one device."""

    device: str
    state: State
    release: str
    seconds: float
    sent_bytes: int = 0
    golden_max_abs_diff: float | None = None
    error: EdgekitError | None = None

    def as_json(self) -> dict[str, Any]:
        fault = self.error.fault if isinstance(self.error, DeviceError) else None
        return {
            "device": self.device,
            "state": self.state,
            "release": self.release,
            "seconds": round(self.seconds, 3),
            "sent_bytes": self.sent_bytes,
            "golden_max_abs_diff": self.golden_max_abs_diff,
            "error": self.error.message if self.error else None,
            "hint": self.error.hint if self.error else None,
            "fault": fault,
        }


def on_each(
    devices: dict[str, Transport], work: Callable[[Device], Outcome], release: str = ""
) -> list[Outcome]:
    """Do something on several devices at once: what fails on one is told with the others."""

    def one(name: str) -> Outcome:
        begin = time.monotonic()
        try:
            with Device(name, devices[name]) as device:
                return work(device)
        except EdgekitError as error:
            spent = time.monotonic() - begin
            return Outcome(name, State.FAILED, release, spent, error=error)

    with ThreadPoolExecutor(max(1, len(devices))) as pool:
        return list(pool.map(one, devices))


@dataclass(frozen=True)
class Deployment:
    """A bundle on its way, to one device or to many."""

    bundle: Bundle
    release: str
    keep: int = KEEP
    dry_run: bool = False
    trial: Trial | None = None
    """What runs the golden images there, given the release's folder; the agent, unless named."""

    def to(self, device: Device) -> Outcome:
        """Deploy to one device.

        Raises:
            DeviceError: it could not be done; `current` there is what it was.
        """
        begin = time.monotonic()
        place = Place(device, self.bundle.info.name)
        of: Of = "shell" if self.trial else "python"
        check_machine(device, self.bundle.info.machine, self.bundle.info.target, of)
        if place.current() == self.release and place.is_whole(self.release):
            return Outcome(device.name, State.UNCHANGED, self.release, time.monotonic() - begin)
        missing = device.missing(list(self.bundle.files.values()))
        size = sum(path.stat().st_size for path in missing)
        if self.dry_run:
            device.need(size, self.bundle.info.name)
            spent = time.monotonic() - begin
            return Outcome(device.name, State.WOULD_DEPLOY, self.release, spent, size)
        difference = place.install(self.bundle, self.release, self.trial or by_agent)
        place.switch(self.release)
        place.forget_old(self.keep)
        spent = time.monotonic() - begin
        return Outcome(device.name, State.DEPLOYED, self.release, spent, size, difference)


def by_agent(device: Device, folder: str) -> Golden:
    """The agent on the device runs the golden images."""
    golden = device.run_agent(folder, SMOKE, lambda *_: None).golden
    assert golden is not None  # the smoke job asks for nothing else
    return golden


Of = Literal["python", "shell"]


def check_machine(
    device: Device, wanted: str | None, target: str | None, of: Of = "python"
) -> None:
    """
    Args:
        wanted: the target's architecture; None where it is not known.

    Raises:
        DeviceError: what will run the model there is of another architecture than the target.
    """
    found = device.machine() if of == "python" else device.sh("uname -m").strip()
    if wanted and found != wanted:
        raise DeviceError(
            f"{device.name} is {found}, and {target} is {wanted}",
            hint="choose the target that the device is: `edgekit device check "
            f"{device.name}` says what that is",
            fault=Fault.WRONG_ARCHITECTURE,
        )


class Place:
    """Where one model's releases lie on a device."""

    def __init__(self, device: Device, name: str) -> None:
        self.device = device
        self.name = name
        self.folder = f"{device.home}/{name}"

    def path(self, *parts: str) -> str:
        """Quoted for the shell."""
        return shlex.quote("/".join((self.folder, *parts)))

    def current(self, link: str = "current") -> str | None:
        """The release that a link names."""
        done = self.device.transport.run(f"readlink {self.path(link)}")
        return done.out.strip().rpartition("/")[2] if done.code == 0 else None

    def is_whole(self, release: str) -> bool:
        where = self.path("releases", release)
        done = self.device.transport.run(f"cd {where} && sha256sum -c {SUMS}", timeout=300)
        return done.code == 0

    def install(self, bundle: Bundle, release: str, trial: Trial) -> float:
        """Have a release on the device, checked and tried out.

        Returns:
            the largest difference from the golden scores.
        """
        part = f"{self.folder}/releases/.{release}.part"
        self.device.place(bundle.files, part)
        self._check_sums(part)
        difference = self._smoke(trial(self.device, part), bundle.info.subject.precision)
        whole = self.path("releases", release)
        self.device.sh(f"rm -rf {whole} && mv {shlex.quote(part)} {whole} && sync")
        return difference

    def _check_sums(self, folder: str) -> None:
        command = f"cd {shlex.quote(folder)} && sha256sum -c {SUMS}"
        done = self.device.transport.run(command, timeout=300)
        if done.code == 0:
            return
        bad = [line.split(":")[0] for line in done.out.splitlines() if line.endswith("FAILED")]
        # What is stored under a hash and has another one must not be taken for it again.
        for name in bad:
            grep = f"grep '  {name}$' {shlex.quote(f'{folder}/{SUMS}')} | cut -c1-64"
            digest = self.device.sh(grep).strip()
            self.device.sh(f"rm -f {shlex.quote(f'{self.device.home}/files/{digest}')}")
        raise DeviceError(
            f"{self.device.name}: {', '.join(bad) or SUMS} is damaged there",
            hint="try again: it will be sent again; if it stays, the device's storage is faulty",
            fault=Fault.HASH_MISMATCH,
        )

    def _smoke(self, golden: Golden, precision: str) -> float:
        wrong = golden_complaint(golden, precision)
        if wrong:
            raise DeviceError(
                f"{self.device.name}: {wrong}; the release was not put in use",
                hint="the runtime there computes something else: `edgekit bench` shows how far it "
                "is off; `edgekit device setup` installs the versions the build used",
                fault=Fault.WRONG_RESULT,
            )
        return golden.max_abs_diff

    def switch(self, release: str) -> None:
        """Put a release in use, at one stroke; the one before it stays known."""
        before = self.current()
        if before and before != release:
            self._link("previous", before)
        self._link("current", release)

    def _link(self, name: str, release: str) -> None:
        new = self.path(f"{name}.new")
        target = shlex.quote(f"releases/{release}")
        self.device.sh(f"ln -sfn {target} {new} && mv -T {new} {self.path(name)}")

    def forget_old(self, keep: int) -> None:
        """Remove the oldest releases but `keep`, never the one in use nor the one before it."""
        kept = {self.current(), self.current("previous")}
        listed = self.device.sh(f"ls -t {self.path('releases')}").split()
        for release in listed[keep:]:
            if release not in kept:
                self.device.sh(f"rm -rf {self.path('releases', release)}")
        self.device.sh(f"rm -rf {self.path('releases')}/.*.part")
        files = shlex.quote(f"{self.device.home}/files")
        self.device.sh(f"find {files} -type f -mtime +{STALE_DAYS} -exec rm -f {{}} +")

    def roll_back(self) -> Outcome:
        """Put the release before this one in use again, after it was checked and tried out.

        Raises:
            DeviceError: there is none, or it does not work any more.
        """
        begin = time.monotonic()
        before = self.current("previous")
        if before is None:
            raise DeviceError(
                f"{self.device.name}: {self.name} has no release before the one in use",
                hint=f"`ls {self.folder}/releases` there shows what is kept",
            )
        folder = f"{self.folder}/releases/{before}"
        self._check_sums(folder)
        difference = self._smoke(by_agent(self.device, folder), "int8")
        self.switch(before)
        spent = time.monotonic() - begin
        return Outcome(
            self.device.name, State.ROLLED_BACK, before, spent, golden_max_abs_diff=difference
        )
