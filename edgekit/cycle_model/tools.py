"""The programs that counting needs: a QEMU that takes plugins, and a C compiler for the plugin."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from edgekit.engine.artifact import digest_of
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import STORE_VARIABLE, DeviceError, Fault, storage_errors
from edgekit.transports.emulation.tree import missing_packages

QEMU = "qemu-aarch64"
COMPILERS = ("cc", "gcc", "clang")


@dataclass(frozen=True)
class Tools:
    qemu: str
    compiler: str


def find_tools() -> Tools:
    """
    Raises:
        DeviceError: with the command that installs all that is missing.
    """
    packages = missing_tools()
    if packages:
        raise DeviceError(
            f"an estimate counts instructions under qemu-user, and this machine lacks "
            f"{', '.join(packages)}",
            hint=f"on Debian or Ubuntu: sudo apt-get install {' '.join(packages)}",
            fault=Fault.MISSING_PROGRAM,
        )
    qemu, compiler = shutil.which(QEMU) or QEMU, _compiler() or COMPILERS[0]
    if not _takes_plugins(qemu):
        raise DeviceError(
            f"{qemu} takes no plugins: it is linked statically, or was built without them",
            hint="the qemu-user of Debian 12 takes them; so does one that was built with plugins, "
            "earlier on PATH",
            fault=Fault.MISSING_PROGRAM,
        )
    return Tools(qemu, compiler)


def missing_tools() -> list[str]:
    """Debian's packages that are not here."""
    missing = [] if shutil.which(QEMU) else ["qemu-user"]
    if not _compiler():
        missing += ["gcc", "libc6-dev"]
    return missing + missing_packages()


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, COMPILERS)), None)


@cache
def _takes_plugins(qemu: str) -> bool:
    said = subprocess.run([qemu, "-help"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return "-plugin" in said.stdout


def plugin(compiler: str, folder: Path) -> Path:
    """The plugin, compiled where it is not yet; by its source, so that two at once are safe.

    Raises:
        DeviceError: the compiler failed, with the last line of what it said.
        StorageError: `folder` cannot be written.
    """
    source = files(__package__).joinpath("counter.c").read_text(encoding="utf-8")
    path = folder / f"counter-{digest_of(source)[:16]}.so"
    if path.exists():
        return path
    with storage_errors(folder, STORE_VARIABLE):
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder) as work:
            return _compiled(compiler, source, work).replace(path)


def _compiled(compiler: str, source: str, work: Path) -> Path:
    """
    Raises:
        DeviceError: the compiler failed, with the last line of what it said.
    """
    code, made = work / "counter.c", work / "counter.so"
    code.write_text(source, encoding="utf-8")
    command = [compiler, "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-w"]
    done = subprocess.run([*command, str(code), "-o", str(made)], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise DeviceError(
            f"the counting plugin could not be compiled: {said}",
            hint="on Debian or Ubuntu: sudo apt-get install gcc libc6-dev",
        )
    return made
