"""The arm64 tree that an emulated device runs in: Debian's Python, PyPI's aarch64 wheels, one CPU.

<root>/base-<key>/            Debian packages unpacked, and site/ with the wheels
<root>/<cpu>-<key>/           the same files (hard links), and /proc and /sys of that CPU
<root>/<cpu>-<key>/commands/  python3, uname, cat: the tree's own, each under qemu

The key covers what is in the tree, so that an upgrade of a runtime here makes a new one. Nothing is
installed on this machine and nothing of it needs root.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from filelock import FileLock

from edgekit.engine.artifact import digest_of
from edgekit.errors import STORE_VARIABLE, DeviceError, Fault, storage_errors
from edgekit.transports.base import Listener
from edgekit.transports.emulation.cpus import CpuName, describe

QEMU = "qemu-aarch64-static"
PROGRAMS = {QEMU: "qemu-user-static", "debootstrap": "debootstrap", "dpkg": "dpkg"}
SUITE, PYTHON = "bookworm", "3.11"
PACKAGES = ("python3", "libgomp1", "libatomic1")
LIBRARIES = ("numpy", "ai-edge-litert", "onnxruntime")
COMMANDS = ("python3", "uname", "cat")
LAYOUT = 2
"""Counted up when the tree is made in another way."""
GLIBC = range(17, 37)
"""Minor versions of the glibc 2.x whose wheels run on bookworm."""


def tree_path(cpu: CpuName, root: Path) -> Path:
    """Where the tree of a CPU lies, or would."""
    return root / f"{cpu}-{_key()}"


def build_tree(cpu: CpuName, root: Path, on_message: Listener) -> Path:
    """The tree of a CPU, made where it is missing: about a minute and 350 MB, once.

    Args:
        root: the folder of all trees. What a stopped build leaves is never taken for a tree.

    Raises:
        DeviceError: a program is missing, or a package or wheel could not be fetched.
        StorageError: no space, or no permission.
    """
    need_programs()
    tree = tree_path(cpu, root)
    with storage_errors(root, STORE_VARIABLE):
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock"):
            if tree.exists():
                return tree
            base = root / f"base-{_key()}"
            if not base.exists():
                _whole(base, lambda part: _make_base(part, on_message))
            on_message(f"the tree of {cpu}")
            _whole(tree, lambda part: _make_cpu(cpu, base, part, tree))
    return tree


def need_programs() -> None:
    """
    Raises:
        DeviceError: with the command that installs what is missing.
    """
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        packages = " ".join(missing_packages())
        raise DeviceError(
            f"an emulated device needs {', '.join(missing)}, which this machine does not have",
            hint=f"on Debian or Ubuntu: sudo apt-get install {packages}",
            fault=Fault.MISSING_PROGRAM,
        )


def missing_packages() -> list[str]:
    """Debian's packages of the programs that are not here."""
    return [package for name, package in PROGRAMS.items() if _program(name) is None]


def _program(name: str) -> str | None:
    # debootstrap lies in /usr/sbin, which is not on every user's PATH.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def _key() -> str:
    return digest_of([LAYOUT, SUITE, PACKAGES, _pins()])[:12]


def _pins() -> list[str]:
    """numpy and the runtimes at the versions of this machine, so that both run the same code."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _whole(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder under another name, and rename it once it is whole."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        make(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _make_base(tree: Path, on_message: Listener) -> None:
    on_message(f"Debian {SUITE} for arm64: packages")
    debootstrap = _program("debootstrap") or "debootstrap"
    # --download-only needs no root; the packages are unpacked, none is configured.
    _run([debootstrap, "--download-only", "--arch=arm64", "--variant=minbase",
          f"--include={','.join(PACKAGES)}", SUITE, str(tree)])  # fmt: skip
    on_message(f"Debian {SUITE} for arm64: unpacking")
    for package in sorted(tree.glob("var/cache/apt/archives/*.deb")):
        _run(["dpkg", "-x", str(package), str(tree)])
    for name in ("var", "debootstrap", "usr/share/doc", "usr/share/locale", "usr/share/man"):
        shutil.rmtree(tree / name, ignore_errors=True)
    on_message(f"aarch64 wheels: {', '.join(_pins())}")
    _install_wheels(tree / "site")
    # Compiled here, in a second: under qemu each start would compile the libraries again.
    for name in (f"usr/lib/python{PYTHON}", "site"):
        compileall.compile_dir(
            tree / name,
            quiet=2,
            stripdir=str(tree),
            prependdir="/",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def _install_wheels(site: Path) -> None:
    constraints = site.with_name("constraints.txt")
    constraints.write_text(
        "".join(f"{d.name}=={d.version}\n" for d in distributions()), encoding="utf-8"
    )
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in GLIBC]
    _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(site),
          "--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}", *platforms,
          "--platform=manylinux2014_aarch64", "--constraint", str(constraints),
          *_pins()])  # fmt: skip


def _make_cpu(cpu: CpuName, base: Path, part: Path, tree: Path) -> None:
    shutil.copytree(base, part, symlinks=True, copy_function=os.link)
    describe(cpu, part)
    (part / "commands").mkdir()
    for name in COMMANDS:
        command = part / "commands" / name
        command.write_text(_wrapper(cpu, tree, name), encoding="utf-8")
        command.chmod(0o755)


def _wrapper(cpu: CpuName, tree: Path, name: str) -> str:
    """A script that runs a program of the tree under qemu.

    It is argv[0] of that program: sys.executable is the script, so that the children of a Python
    are emulated too. Bytecode would be written beside this machine's own Python.
    """
    folder = "usr/bin" if name == "python3" else "bin"
    return (
        "#!/bin/sh\n"
        f"tree={shlex.quote(str(tree))}\n"
        f"export EDGEKIT_EMULATED={cpu} PYTHONPATH=/site PYTHONDONTWRITEBYTECODE=1\n"
        "unset PYTHONHOME LD_LIBRARY_PATH LD_PRELOAD\n"
        f'exec {QEMU} -cpu {cpu} -L "$tree" -0 "$0" "$tree/{folder}/{name}" "$@"\n'
    )


def _run(command: Sequence[str]) -> None:
    """
    Raises:
        DeviceError: it failed, with the last line it printed.
    """
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["nothing was said"]
        raise DeviceError(
            f"the arm64 tree could not be made: {lines[-1]}",
            hint=f"needs a network; the command was: {shlex.join(command)}",
        )
