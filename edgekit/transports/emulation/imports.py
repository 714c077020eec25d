"""Whether a runtime's arm64 wheel loads on an emulated core: some end in SIGILL as they start.

ONNX Runtime 1.21.0, for one, uses instructions at import that the Cortex-A53 and A72 do not have.
"""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from edgekit.engine.artifact import digest_of, sha256_of
from edgekit.engine.atomic import write_atomically
from edgekit.errors import ending, storage_errors
from edgekit.transports.emulation.cpus import CpuName
from edgekit.transports.emulation.tree import tree_path

LONGEST = 300
"""Seconds that an import, or a tiny model, may take under qemu."""
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Mostly for want of memory."""


def import_fault(core: CpuName, module: str, root: Path) -> str | None:
    """How the import of a module ends on a core, as `signal SIGILL`; None where it loads."""
    return fault_of(core, ["-c", f"import {module}"], root)


def fault_of(core: CpuName, words: list[str], root: Path, folder: Path | None = None) -> str | None:
    """How Python ends on a core. What was found is kept by the tree, whose name says its wheels'
    versions, and by the files that it runs.

    Args:
        words: its arguments.
        root: the folder of all trees; the core's is there.
        folder: where it runs.

    Raises:
        StorageError: the result cannot be kept.
    """
    tree = tree_path(core, root)
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())} if folder else {}
    path = root / "imports" / f"{digest_of([tree.name, words, files])[:32]}.json"
    try:
        kept: str | None = json.loads(path.read_text(encoding="utf-8"))["fault"]
    except (OSError, ValueError, KeyError, TypeError):
        kept, is_the_core_s = _try(tree, words, folder)
        if is_the_core_s:
            with storage_errors(root):
                write_atomically(path, json.dumps({"fault": kept, "tree": tree.name}))
    return kept


def _try(tree: Path, words: list[str], folder: Path | None) -> tuple[str | None, bool]:
    """How it ends, and whether it would end so again: a machine that is busy, or short of memory,
    says nothing about the core."""
    command = [str(tree / "commands" / "python3"), *words]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST, cwd=folder
        )
    except subprocess.TimeoutExpired:
        return f"no end within {LONGEST} seconds", False
    # A library that is missing is no fault of the core's: an exception is exit code 1.
    fault = ending(done.returncode) if done.returncode not in (0, 1) else None
    return fault, done.returncode not in KILLED
