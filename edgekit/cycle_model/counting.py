"""A model run once under qemu-user, with its instructions counted: `count`, `count_operators`,
`count_many`."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgekit.agent import agent
from edgekit.cycle_model import batch_guest, guest, profiled_guest
from edgekit.cycle_model.blocks import Counts, parse_counts, parse_laps
from edgekit.cycle_model.boards import memories_of
from edgekit.cycle_model.profiled import AT_STOP, Profiled, operators_in, summed
from edgekit.cycle_model.tools import find_tools, plugin
from edgekit.engine.store import default_store
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, ending
from edgekit.transports.base import Listener
from edgekit.transports.emulation.cpus import CpuName
from edgekit.transports.emulation.tree import PYTHON, build_tree

LONGEST = 3600
"""Seconds that a run may take."""


@dataclass(frozen=True)
class Run:
    """What is run: a file of a runtime, and the shape and type of what it takes."""

    file: Path
    runtime: str
    shape: tuple[int, ...]
    dtype: str


def count(run: Run, core: CpuName, on_message: Listener) -> Counts:
    """Of one inference with one thread, after a first one that is not counted.

    Raises:
        DeviceError: a program is missing, or the run failed.
    """
    with _job(run) as job:
        return count_script([guest.__file__, str(job)], core, on_message, run.file.name)


def count_operators(run: Run, core: CpuName, on_message: Listener) -> list[Profiled]:
    """The same with the runtime's profiler on, by operator.

    Raises:
        DeviceError: as `count`, or the operators cannot be told apart.
    """
    what = f"operators of {run.file.name}"
    with _job(run) as job:
        events = job.with_name("events.json")
        command = [profiled_guest.__file__, str(job), str(events)]
        laps = parse_laps(_written_by(command, core, on_message, what))
        return operators_in(run.runtime, events.read_bytes(), laps)


def count_many(runs: Sequence[Run], core: CpuName, on_message: Listener) -> list[Counts]:
    """Of each the second of two inferences, all in one process: for many small files.

    Raises:
        DeviceError: as `count`.
    """
    what = f"{len(runs)} models"
    with temporary_folder() as work:
        job = work / "job.json"
        models = [{**_model(run), **_input(run)} for run in runs]
        job.write_text(json.dumps({"agent": agent.__file__, "models": models}), encoding="utf-8")
        text = _written_by([batch_guest.__file__, str(job)], core, on_message, what)
    found: list[Counts] = []
    parts: list[Counts] = []
    for lap in parse_laps(text):  # a runtime may ask for the time in the midst
        parts.append(lap.counts)
        if lap.call == AT_STOP:
            found.append(summed(parts))
            parts = []
    if len(found) != len(runs):
        raise DeviceError(f"{what}: {len(found)} were counted on {core}")
    return found


def _model(run: Run) -> dict[str, object]:
    return {"path": str(run.file.absolute()), "runtime": run.runtime}


def _input(run: Run) -> dict[str, object]:
    return {"shape": [max(1, side) for side in run.shape], "dtype": run.dtype}


@contextmanager
def _job(run: Run) -> Iterator[Path]:
    job = {
        "agent": agent.__file__,
        "model": _model(run),
        **_input(run),
    }
    with temporary_folder() as work:
        path = work / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        yield path


def trees() -> Path:
    """Where the arm64 trees lie, of emulated devices too."""
    return default_store().absolute() / "emulated"


def count_script(arguments: list[str], core: CpuName, on_message: Listener, what: str) -> Counts:
    """Of a Python script of its own that marks what is counted, as guest.py does."""
    return parse_counts(_written_by(arguments, core, on_message, what))


def _written_by(arguments: list[str], core: CpuName, on_message: Listener, what: str) -> str:
    """What the plugin writes as a Python script runs on a core."""
    tools = find_tools()
    counter = plugin(tools.compiler, default_store().absolute() / "counter")
    tree = build_tree(core, trees(), on_message)
    on_message(f"{what}: counting instructions on an emulated {core.title()}")
    with temporary_folder() as work:
        out = work / "counts.txt"
        options = ",".join([str(counter), f"out={out}", *memories_of(core).plugin_options])
        command = [tools.qemu, "-cpu", core, "-L", str(tree), "-plugin", options,
                   f"{tree}/usr/bin/python{PYTHON}", *arguments]  # fmt: skip
        _run(command, core, what)
        if not out.exists():
            raise DeviceError(f"{what}: the counting plugin wrote nothing on {core}")
        return out.read_text(encoding="ascii", errors="replace")


def _run(command: list[str], core: CpuName, what: str) -> None:
    variables = {
        "EDGEKIT_EMULATED": core,
        "PYTHONPATH": "/site",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C",
    }
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=variables,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"{what}: not done after {LONGEST / 60:.0f} minutes under qemu on {core}"
        ) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise DeviceError(
            f"{what} could not be run on an emulated {core}: {ending(done.returncode)}: {said}",
            hint=f"the command was: {shlex.join(command)}",
        )
