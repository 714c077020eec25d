"""Wheels for another machine's Python, fetched on this one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgekit.devices.advice import ONLY_32_BITS_HINT, only_32_bits
from edgekit.devices.engines import ENGINES
from edgekit.devices.facts import PythonThere
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, Fault, InputError

MIN_GLIBC = 17
"""Minor version of the glibc 2.x of manylinux2014, the oldest platform with wheels of interest."""


@dataclass(frozen=True)
class Wheel:
    package: str
    path: Path
    note: str | None = None
    """Why it is not the version of this machine."""

    @property
    def version(self) -> str:
        return self.path.name.split("-")[1]


def platforms(python: PythonThere) -> list[str]:
    """The platform tags whose wheels run there, newest first (pure).

    Raises:
        DeviceError: there are none: a C library other than glibc, or 32 bits.
    """
    if python.bits != 64:
        raise DeviceError(
            only_32_bits(f"its Python {python.version}"),
            hint=ONLY_32_BITS_HINT,
            fault=Fault.WRONG_ARCHITECTURE,
        )
    if not python.glibc:
        raise DeviceError(
            "the C library there is not glibc, and the runtimes have no wheels for another",
            hint="an OS with glibc: Raspberry Pi OS, Debian, Ubuntu, Fedora",
            fault=Fault.WRONG_ARCHITECTURE,
        )
    newest = int(python.glibc.split(".")[1])
    tags = [f"manylinux_2_{minor}" for minor in range(newest, MIN_GLIBC - 1, -1)]
    return [f"{tag}_{python.machine}" for tag in [*tags, "manylinux2014"]]


@contextmanager
def fetch_wheels(python: PythonThere, runtimes: tuple[str, ...]) -> Iterator[list[Wheel]]:
    """numpy, the runtimes and the installer itself (pip) as wheels for a Python elsewhere.

    At the versions of this machine, so that both run the same code; where there is no such wheel
    for that Python, at the newest there is, and `note` says so.

    Raises:
        DeviceError: a package has no wheel that fits, or cannot be fetched.
    """
    packages = [("pip",), ("numpy",), *(ENGINES[name] for name in runtimes)]
    with temporary_folder() as folder:
        # All in one call of pip, which is slow to start; one by one only where that fails.
        paths, _ = _download([_as_here(names[0]) for names in packages], python, folder / "all")
        if len(paths) == len(packages):
            yield [Wheel(names[0], paths[names[0]]) for names in packages]
        else:
            yield [_first(names, python, folder) for names in packages]


def _as_here(package: str) -> str:
    """The requirement of the version of this machine, if it has one; any pip is good."""
    try:
        return package if package == "pip" else f"{package}=={version(package)}"
    except PackageNotFoundError:
        return package


def _first(names: tuple[str, ...], python: PythonThere, folder: Path) -> Wheel:
    """The first of some packages, at this machine's version or else the newest, that has a wheel
    for that Python."""
    missed: list[str] = []
    error = ""
    for name in names:
        for requirement in dict.fromkeys([_as_here(name), name]):
            paths, error = _download([requirement], python, folder / name)
            if name in paths:
                return Wheel(name, paths[name], _note(missed, python))
            missed.append(requirement)
    raise DeviceError(
        f"no wheel of {' or '.join(names)} for Python {python.version} on {python.machine} with "
        f"glibc {python.glibc}: {error}",
        hint="is this machine on the network? Else choose other runtimes with --runtime, or a "
        "newer OS on the device",
        fault=Fault.MISSING_RUNTIME,
    )


def _note(missed: list[str], python: PythonThere) -> str | None:
    if not missed:
        return None
    short = ".".join(python.version.split(".")[:2])
    return f"there is no {' nor '.join(missed)} for its Python {short} on {python.machine}"


def _download(
    requirements: list[str], python: PythonThere, folder: Path
) -> tuple[dict[str, Path], str]:
    """The wheels by package, none of them where one is missing, and pip's last error."""
    shutil.rmtree(folder, ignore_errors=True)
    major, minor = python.version.split(".")[:2]
    arguments = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-deps", "--only-binary=:all:", "--dest", str(folder), "--implementation", "cp",
             "--python-version", f"{major}.{minor}", "--abi", f"cp{major}{minor}",
             "--abi", "abi3", "--abi", "none"]  # fmt: skip
    arguments += [part for tag in platforms(python) for part in ("--platform", tag)]
    done = subprocess.run(
        [*arguments, *requirements], capture_output=True, text=True, errors="replace"
    )
    if "No module named pip" in done.stderr:
        raise InputError(
            f"{sys.executable} has no pip, which fetches the wheels",
            hint=f"{sys.executable} -m ensurepip",
        )
    if done.returncode == 0:
        wheels = folder.glob("*.whl")
        return {path.name.split("-")[0].lower().replace("_", "-"): path for path in wheels}, ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return {}, errors[-1].removeprefix("ERROR: ") if errors else done.stderr.strip()[-200:]
