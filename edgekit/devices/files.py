"""Files on a device, kept by their hash: what is there whole is never sent twice.

<home>/files/<sha256>

A file is pushed beside its place, checked there, and moved in: a broken connection leaves no half
file under a hash.
"""

from __future__ import annotations

import re
import shlex
import uuid
from pathlib import Path

from edgekit.devices.shell import DeviceShell
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError, Fault

SPARE_BYTES = 20_000_000
"""What stays free on a device: logs and a swap file want some."""
KEPT_FILES = 64
"""That no release holds, those used last: a few bundles'. Counted, since a clock may be wrong."""
ORDER = ".order"
"""In `files`: the names as they were used, the newest last."""
SYNC_SECONDS = 600.0
"""For `sync`, behind which stands what all programs there have written."""
SLOW_CARD = 500_000
"""Bytes a second that any card writes and reads."""


def patience(size: int) -> float:
    """Seconds after which a command that writes or reads so many bytes hangs."""
    return SYNC_SECONDS + size / SLOW_CARD


class DeviceFiles:
    """The files of one open device."""

    def __init__(self, shell: DeviceShell) -> None:
        self.shell = shell

    @property
    def folder(self) -> str:
        return f"{self.shell.home}/files"

    def path(self, file: Path) -> str:
        """Where a file lies on the device, or would."""
        return f"{self.folder}/{sha256_of(file)}"

    def missing(self, files: list[Path]) -> list[Path]:
        """Those of some files that are not on the device yet, or not whole any more."""
        digests = {file: sha256_of(file) for file in files}
        there = f"cd {shlex.quote(self.folder)} 2>/dev/null"
        names = " ".join(sorted({*digests.values()}))
        size = sum(file.stat().st_size for file in files)
        sums = self.shell.sh(
            f"{there} && sha256sum {names} </dev/null || true", timeout=patience(size)
        )
        lines = [line.split() for line in sums.splitlines()]
        whole = {line[0] for line in lines if len(line) == 2 and line[0] == line[1]}
        return [file for file in files if digests[file] not in whole]

    def ensure(self, file: Path) -> str:
        """Have a file on the device, and say where; what is there already, whole, is not sent.

        Raises:
            DeviceError: what arrived is not what was sent, the device is full, the way broke.
        """
        if self.missing([file]):
            self.need(file.stat().st_size, file.name)
            self._send(file)
        self._note([file])
        return self.path(file)

    def lay_out(self, files: dict[str, Path], folder: str) -> None:
        """Have a folder on the device that holds these files, by their names there.

        Raises:
            DeviceError: as `ensure`.
        """
        missing = self.missing(list(files.values()))
        if missing:
            self.need(sum(path.stat().st_size for path in missing), f"{len(missing)} files")
        for path in missing:
            self._send(path)
        target = shlex.quote(folder)
        commands = [f"rm -rf {target}", f"mkdir -p {target}", f"cd {target}"]
        for name, path in files.items():
            both = f"{shlex.quote(self.path(path))} {shlex.quote(name)}"
            # A model that is confined to the folder must not reach the original through a link.
            link = "false" if self.shell.transport.confines else f"ln {both} 2>/dev/null"
            # Android's /data/local/tmp takes no hard links.
            commands.append(f"{{ {link} || cp {both}; }}")
        size = sum(path.stat().st_size for path in files.values())
        self.shell.sh(" && ".join(commands), timeout=patience(size))
        self._note(list(files.values()))

    def _note(self, files: list[Path]) -> None:
        """Make some files those that were used last."""
        names = sorted({sha256_of(file) for file in files})
        others = f"grep -vx {' '.join(f'-e {name}' for name in names)} {ORDER} 2>/dev/null || true"
        new = f"{{ {{ {others}; }} | tail -n 1000; printf '%s\\n' {' '.join(names)}; }}"
        self.shell.sh(
            f"cd {shlex.quote(self.folder)} && {new} > {ORDER}.new && mv {ORDER}.new {ORDER}"
        )

    def need(self, size: int, what: str) -> None:
        """Refuse what cannot fit.

        Args:
            size: bytes.

        Raises:
            DeviceError: with both sizes.
        """
        home = self.shell.home
        free = free_bytes(self.shell.sh(f"df -Pk {shlex.quote(home)}"))
        if free is None:
            return  # it does not tell; a push that fails will
        if free < size + SPARE_BYTES:
            raise DeviceError(
                f"{self.shell.name}: {what} needs {size / 1e6:.1f} MB, and {free / 1e6:.1f} MB are "
                f"free in {home} (of which {SPARE_BYTES / 1e6:.0f} MB stay free)",
                hint="free some space there, or name another folder with `home` in the inventory",
                fault=Fault.FULL,
            )

    def used_bytes(self) -> int:
        """Of all that lies in the device's folder; files that releases share count once."""
        told = self.shell.sh(f"du -sk {shlex.quote(self.shell.home)}", timeout=SYNC_SECONDS)
        return 1024 * int(told.split()[0])

    def drop(self, file: Path) -> None:
        """Remove a file that was sent and is of no more use there."""
        self.shell.forget(self.path(file))

    def remove_stale(self, kept: int = KEPT_FILES) -> int:
        """Remove files that no release holds, but for those used last. Whoever calls it holds the
        device's lock.

        Returns:
            how many were removed.

        Raises:
            DeviceError: the way broke.
        """
        home, sh = shlex.quote(self.shell.home), self.shell.sh
        names = sh(f"cd {home}/files 2>/dev/null && ls 2>/dev/null || true").split()
        if not names:
            return 0
        # Not by the number of links: a phone has none, there releases hold copies.
        sums = sh(f"cd {home} && cat models/*/releases/*/SHA256SUMS 2>/dev/null || true")
        held = {line.split()[0] for line in sums.splitlines() if line.strip()}
        order = sh(f"cat {home}/files/{ORDER} 2>/dev/null || true").split()
        loose = [name for name in order if name not in held]
        used_last = set(loose[-kept:]) if kept else set()
        stale = [name for name in names if name not in held | used_last]
        if stale:
            sh(f"cd {home}/files && rm -f {' '.join(map(shlex.quote, stale))}")
        return len(stale)

    def _send(self, file: Path) -> None:
        destination, sh = self.path(file), self.shell.sh
        digest = destination.rpartition("/")[2]
        part = f"{destination}.{uuid.uuid4().hex[:8]}.part"
        folder = shlex.quote(self.folder)
        # Whoever left a part held the lock that we hold now.
        sh(f"mkdir -p {folder} && rm -f {folder}/*.part")
        try:
            self.shell.transport.push(file, part)
            # Read back from the storage, not from memory: `sync` first.
            limit = patience(2 * file.stat().st_size)
            found = sh(f"sync; sha256sum < {shlex.quote(part)}", timeout=limit)[:64]
            if found != digest:
                raise DeviceError(
                    f"{self.shell.name}: {file.name} arrived with sha256 {found[:16]}, not "
                    f"{digest[:16]}",
                    hint="try again; if it happens again, the storage or the cable is faulty",
                    fault=Fault.HASH_MISMATCH,
                )
            sh(f"mv {shlex.quote(part)} {shlex.quote(destination)}")
        except DeviceError:
            self.shell.forget(part)
            raise


def free_bytes(table: str) -> int | None:
    """Of `df -Pk`: read from the right, since names of drives may have spaces."""
    found = re.findall(r"\s(\d+)\s+(?:\d+%|-)\s+/", table)
    return 1024 * int(found[-1]) if found else None
