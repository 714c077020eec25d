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
DAY_OLD = "-mtime +0"
"""For find: what a broken connection left a day ago or earlier, and nobody works with any more."""
STALE_DAYS = 7
"""After which a file that no release holds is removed."""


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
        sums = self.shell.sh(f"{there} && sha256sum {names} </dev/null || true", timeout=300)
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
        self.shell.sh(" && ".join(commands), timeout=300)

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

    def drop(self, file: Path) -> None:
        """Remove a file that was sent and is of no more use there."""
        self.shell.forget(self.path(file))

    def remove_stale(self) -> None:
        """Remove files of a week ago and older that no release holds.

        Raises:
            DeviceError: the way broke.
        """
        home, sh = shlex.quote(self.shell.home), self.shell.sh
        find = f"find files -maxdepth 1 -type f -mtime +{STALE_DAYS}"
        old = sh(f"cd {home} 2>/dev/null && {find} 2>/dev/null || true").split()
        if not old:
            return
        # Not by the number of links: a phone has none, there releases hold copies.
        sums = sh(f"cd {home} && cat models/*/releases/*/SHA256SUMS 2>/dev/null || true")
        held = {line.split()[0] for line in sums.splitlines() if line.strip()}
        stale = [path for path in old if path.rpartition("/")[2] not in held]
        if stale:
            sh(f"cd {home} && rm -f {' '.join(map(shlex.quote, stale))}")

    def _send(self, file: Path) -> None:
        destination, sh = self.path(file), self.shell.sh
        digest = destination.rpartition("/")[2]
        part = f"{destination}.{uuid.uuid4().hex[:8]}.part"
        folder = shlex.quote(self.folder)
        tidy = f"find {folder} -maxdepth 1 -name '*.part' {DAY_OLD} -exec rm -f {{}} +"
        sh(f"mkdir -p {folder} && {tidy}")
        try:
            self.shell.transport.push(file, part)
            # Read back from the storage, not from memory: `sync` first.
            found = sh(f"sync; sha256sum < {shlex.quote(part)}", timeout=300)[:64]
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
