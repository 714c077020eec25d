"""Where the releases of one model lie on a device.

    <home>/models/<name>/releases/<sha256>/     one bundle each, whole
    <home>/models/<name>/order                  a line for each as it came, the newest last
    <home>/models/<name>/current, previous      see `deploy.links`

The order is kept by lines and not by times: a board without a clock begins in 1970, and leaps.
A release is never removed while `current` names it: what is damaged in it is replaced file by file.
Whoever changes anything here holds the device's lock.
"""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.devices.bundle.bundle import EVERY_RELEASE, INFO, SUMS
from edgekit.devices.bundle.info import NAME, Info
from edgekit.devices.bundle.sums import read_sums
from edgekit.devices.deploy.links import ModelLinks
from edgekit.devices.device import Device
from edgekit.devices.facts import DeployedModel, DeployedRelease
from edgekit.devices.files import SYNC_SECONDS, patience
from edgekit.engine.artifact import sha256_of
from edgekit.engine.records import BadRecord, parse_record
from edgekit.errors import DeviceError, Fault


def sums_of(files: dict[str, Path]) -> dict[str, str]:
    """The sha256 of each file, by its name there."""
    return {name: sha256_of(path) for name, path in files.items()}


class ReleaseStore(ModelLinks):
    """The releases of one model on a device, and which is in use."""

    def damaged(self, release: str, sums: dict[str, str]) -> list[str]:
        """The files of a release that are not what they should be, or are not there."""
        found = self._found(f"{self.folder}/releases/{release}")
        return [name for name, digest in sums.items() if found.get(name) != digest]

    def own_sums(self, release: str) -> dict[str, str]:
        """
        Raises:
            DeviceError: the release does not tell them, or not whole: a power cut may empty a file.
        """
        text = self.device.sh(f"cat {self.path('releases', release, SUMS)}")
        found = read_sums(text)
        if EVERY_RELEASE - found.keys() or len(found) != len(text.splitlines()):
            raise DeviceError(
                f"{self.device.name}: {SUMS} of release {release[:12]} is damaged there",
                hint="deploy that bundle again",
                fault=Fault.HASH_MISMATCH,
            )
        return found

    def precision(self, release: str) -> str:
        """Of its model; how close its scores must be depends on it.

        Raises:
            DeviceError: the release does not tell it.
        """
        text = self.device.sh(f"cat {self.path('releases', release, INFO)}")
        try:
            return parse_record(Info, text).subject.precision
        except BadRecord as error:
            raise DeviceError(
                f"{self.device.name}: {INFO} of release {release[:12]} is damaged there, or of "
                f"another version of edgekit: {error}",
                hint="deploy that bundle again",
                fault=Fault.HASH_MISMATCH,
            ) from error

    def check(self, folder: str, sums: dict[str, str]) -> None:
        """
        Raises:
            DeviceError: a file in the folder is damaged. What is stored under its hash is removed:
                the next try sends it again.
        """
        found = self._found(folder)
        if not found:
            raise DeviceError(
                f"{self.device.name}: sha256sum tells nothing of {folder}",
                hint=f"edgekit device check {self.device.name}",
            )
        bad = [name for name, digest in sums.items() if found.get(name) != digest]
        if not bad:
            return
        stored = (shlex.quote(f"{self.device.home}/files/{sums[name]}") for name in bad)
        self.device.sh(f"rm -f {' '.join(stored)}")
        raise DeviceError(
            f"{self.device.name}: {', '.join(bad)} is damaged there",
            hint="deploy it again: it will be sent again; if it stays, the device's storage is "
            "faulty",
            fault=Fault.HASH_MISMATCH,
        )

    def _found(self, folder: str) -> dict[str, str]:
        """The sums of all files in a folder. They are compared at home: `-c` is not everywhere."""
        command = f"cd {shlex.quote(folder)} && sha256sum * 2>/dev/null"
        return read_sums(self.device.transport.run(command, timeout=SYNC_SECONDS).out)

    @contextmanager
    def part(self, release: str) -> Iterator[str]:
        """A folder for a release that is being made; it is gone afterwards, or moved in."""
        folder = f"{self.folder}/releases/.{release}.{uuid.uuid4().hex[:8]}.part"
        try:
            yield folder
        except BaseException:
            self.device.forget(folder)
            raise

    def move_in(self, part: str, release: str, sums: dict[str, str], size: int) -> None:
        """Give a checked release its name; over one that was damaged, which may be in use, file by
        file, each at one stroke.

        Args:
            size: bytes of it.
        """
        whole, source = self.path("releases", release), shlex.quote(part)
        # Only what is damaged: mv refuses two names of one file.
        each = " ".join(shlex.quote(name) for name in self.damaged(release, sums))
        one = f'mv -f {source}/"$name" {whole}/"$name"'
        self.device.sh(
            f"sync; if test -d {whole}; then for name in {each}; do {one} || exit 1; done; "
            f"rm -rf {source}; else mv -T {source} {whole}; fi && {self._note(release)} && sync",
            timeout=patience(size),
        )

    def _note(self, release: str) -> str:
        """The command that makes a release the newest in `order`."""
        order, new = self.path("order"), self.path("order.new")
        others = f"{{ {self._in_order()} | grep -vx {release} || true; }}"
        return f"{{ {others}; echo {release}; }} > {new} && mv {new} {order}"

    def _in_order(self) -> str:
        """The command that prints the releases as they came. Where an older edgekit left no `order`
        the folders' times have to do."""
        by_time = f"ls -1tr {self.path('releases')} 2>/dev/null"
        return f"{{ cat {self.path('order')} 2>/dev/null || {by_time}; }}"

    def listed(self) -> list[str]:
        """Its releases, the newest first."""
        there = self.device.sh(f"ls {self.path('releases')} 2>/dev/null || true").split()
        order = self.device.sh(f"{self._in_order()} || true").split()
        place = {release: number for number, release in enumerate(order)}
        return sorted(there, key=lambda release: place.get(release, -1), reverse=True)

    def seen(self) -> DeployedModel:
        """What there is of it, each file held against its sum."""
        current = self.current()
        releases = [
            DeployedRelease(release=r, in_use=r == current, damaged=self._own_damage(r))
            for r in self.listed()
        ]
        return DeployedModel(
            name=self.name, current=current, previous=self.previous(), releases=releases
        )

    def _own_damage(self, release: str) -> list[str]:
        try:
            return self.damaged(release, self.own_sums(release))
        except DeviceError as error:
            if error.fault not in (Fault.HASH_MISMATCH, Fault.OTHER):
                raise
            return [SUMS]

    def forget_damaged(self) -> list[str]:
        """Remove releases that are damaged and not in use, and tell which."""
        gone = [r.release for r in self.seen().releases if r.damaged and not r.in_use]
        if self.previous() in gone:
            self.device.sh(f"rm -f {self.path('previous')} {self.path('previous.new')}")
        for release in gone:
            self.device.sh(f"rm -rf {self.path('releases', release)}")
        return gone

    def tidied(self, keep: int) -> str | None:
        """Remove the oldest releases but `keep`, and what no release holds any more.

        Returns:
            why that was not done to its end; it is of no harm.
        """
        try:
            self._forget_releases(keep)
            self.device.tidy()
        except DeviceError as error:
            return f"it is in use; older releases were not removed: {error.message}"
        return None

    def _forget_releases(self, keep: int) -> None:
        """Never the one in use, nor the one before it."""
        kept = {self.current(), self.current("previous"), self.previous()}
        releases = self.path("releases")
        for release in self.listed()[keep:]:
            if release not in kept:
                self.device.sh(f"rm -rf {self.path('releases', release)}")
        # Whoever made one of them held the lock that we hold now.
        self.device.sh(f"find {releases} -maxdepth 1 -name '.*.part' -exec rm -rf {{}} +")


def deployed_models(device: Device) -> list[DeployedModel]:
    """All models that were deployed on a device.

    Raises:
        DeviceError: the way broke.
    """
    return [store.seen() for store in release_stores(device)]


def release_stores(device: Device) -> list[ReleaseStore]:
    """Of each model that was deployed on a device.

    Raises:
        DeviceError: the way broke.
    """
    folder = shlex.quote(f"{device.home}/models")
    names = device.sh(f"ls {folder} 2>/dev/null || true").split()
    return [ReleaseStore(device, name) for name in names if re.fullmatch(NAME, name)]
