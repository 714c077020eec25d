"""Run the agent on this machine: scores and interleaved latencies of compiled models."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edgekit.agent import agent
from edgekit.engine.action import Progress
from edgekit.engine.artifact import Json, sha256_of
from edgekit.engine.confined_program import run_program
from edgekit.engine.confinement import confinement
from edgekit.engine.lease import timing
from edgekit.engine.records import BadRecord, parse_record
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, EdgekitError, Unsupported, WeightsError, ending
from edgekit.evaluation.run_result import HostResult, Interleaved, read_result, read_scores
from edgekit.evaluation.timing import Candidate, MeasureResult, Timing
from edgekit.evidence import Evidence

HOST_THREADS = 1
"""Host latency is a ratio; one thread keeps the scheduler's noise out of it."""
INTEL = "0x8086"
LIBRARY_FOLDERS = (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64"), Path("/usr/local/lib"))
REPEATS = 2
"""Times that a disturbed latency is measured again before it is left at that."""
PROTOCOL = {"warmup_seconds": 0.5, "seconds": 6.0, "rounds": 300, "runs_a_round": 3}
"""All processes together: each has its share of the seconds and rounds."""
PROCESSES = 5
"""Where memory comes to lie changes from one process to the next, and with it the ratio
(docs/decisions/0023-latency-over-processes.md)."""
LEAST_ROUNDS = 60
"""Of all processes together, however long they take."""


Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Host:
    """This machine, by one of the devices it has."""

    device: str = "CPU"
    name: str = "the build machine"
    threads: int = HOST_THREADS
    processes: int = 1
    """One is enough to search by; what is told as a result takes PROCESSES."""

    @property
    def evidence(self) -> Evidence:
        return evidence_on(self.device)

    def identity(self) -> Json:
        found = measuring_identity(self.device)
        several = {"processes": self.processes} if self.processes > 1 else {}
        protocol = {**PROTOCOL, "threads": self.threads, **several}
        return {k: v for k, v in found.items() if k != "agent"} | {"protocol": protocol}

    def time(self, candidates: list[Candidate], images: Path, progress: Progress) -> MeasureResult:
        return measure(candidates, images, progress, processes=self.processes)


HERE = Host()


def evidence_on(device: str) -> Evidence:
    """Only a device other than the CPU is the target's own: processors are all alike to us."""
    return Evidence.HOST if device == "CPU" else Evidence.MEASURED


def measure(
    candidates: list[Candidate],
    images: Path,
    progress: Progress,
    *,
    score: tuple[str, ...] = (),
    latency: bool = True,
    processes: int | None = None,
) -> MeasureResult:
    """Measure in processes of their own, so that nothing this one has loaded disturbs it.

    Args:
        images: a .npy file, uint8 (images, height, width, 3).
        score: ids of the candidates whose scores on all images are wanted.
        processes: that share the time of the latencies; PROCESSES unless given.

    Raises:
        DeviceError: the runtime crashed, with the end of what it said.
        Unsupported: a model took more memory or time than it may, or left no figures.
    """
    where = str(images.absolute())
    count = (processes or PROCESSES) if latency else 1
    with timing() if latency else nullcontext(), temporary_folder() as folder:
        out = {name: str(folder / f"{i}.npy") for i, name in enumerate(score)}
        job: dict[str, Any] = {"threads": HOST_THREADS, "models": [*map(_model, candidates)]}
        if latency:
            job["latency"] = {"images": where, **_protocol(count)}
        scoring = {"scores": {"images": where, "workers": os.cpu_count(), "out": out}}
        results = [_run_agent(job | (scoring if score else {}), folder, progress)]
        results += [_run_agent(job, folder, progress) for _ in range(count - 1)]
        models = " or ".join(dict.fromkeys(c.path.name for c in candidates))
        rows = len(np.load(images, mmap_mode="r")) if score else 0
        most = confinement(models).memory
        return MeasureResult(
            environment=results[0].environment,
            scores={n: read_scores(Path(p), models, rows, most) for n, p in out.items()},
            timings=_timings(results),
        )


def _model(candidate: Candidate) -> Json:
    """As the agent is told of it."""
    own = {"images": str(candidate.images.absolute())} if candidate.images else {}
    return {
        "id": candidate.id,
        "path": str(candidate.path.absolute()),
        "runtime": candidate.runtime,
        "form": candidate.form.model_dump(mode="json"),
        "device": candidate.device,
        **own,
    }


def _protocol(processes: int) -> Json:
    """What each process is told: its share."""
    shares = {
        "seconds": PROTOCOL["seconds"] / processes,
        "rounds": math.ceil(PROTOCOL["rounds"] / processes),
        "least_rounds": math.ceil(LEAST_ROUNDS / processes),
    }
    return {**PROTOCOL, **shares}


def _timings(results: list[HostResult]) -> dict[str, Timing]:
    """Of each model, over all processes."""
    return {name: _joined([r.latency[name] for r in results]) for name in results[0].latency}


def _joined(entries: list[Interleaved]) -> Timing:
    """A model's latencies in several processes."""
    return Timing(
        load=float(np.median([entry.load for entry in entries])),
        first=float(np.median([entry.first for entry in entries])),
        rounds=np.concatenate([np.asarray(entry.rounds) for entry in entries]),
        lengths=tuple(len(entry.rounds) for entry in entries),
    )


def undisturbed(
    run: Callable[[], MeasureResult], first: MeasureResult | None = None
) -> MeasureResult:
    """Measure until nothing disturbs it; the last attempt is left as it is.

    Args:
        run: one interleaved run.
        first: of a run that was made already.
    """
    return repeated(run, lambda outcome: outcome.disturbed, first)


def repeated(
    run: Callable[[], Outcome],
    is_disturbed: Callable[[Outcome], bool],
    first: Outcome | None = None,
) -> Outcome:
    """As `undisturbed`, of anything that was timed."""
    outcome = run() if first is None else first
    for _ in range(REPEATS):
        if not is_disturbed(outcome):
            break
        outcome = run()
    return outcome


class AgentMessage(BaseModel):
    """A line of the agent's progress."""

    model_config = ConfigDict(frozen=True)

    stage: str
    done: int = Field(ge=0)
    total: int = Field(ge=0)


def message_of(line: str) -> AgentMessage | None:
    """A line of progress; None for what a library printed in between."""
    try:
        return parse_record(AgentMessage, line)
    except BadRecord:
        return None


def _run_agent(job: dict[str, Any], folder: Path, progress: Progress) -> HostResult:
    def on_line(line: str) -> None:
        if message := message_of(line):
            progress(message.done, message.total, f"measure {message.stage}")

    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    (folder / "result.json").unlink(missing_ok=True)  # of the process before
    files = str(folder / "job.json"), str(folder / "result.json")
    names = dict.fromkeys(Path(model["path"]).name for model in job["models"])
    # The driver of another device writes to files of its own.
    on_cpu = all(model["device"] == "CPU" for model in job["models"])
    limits = confinement(" or ".join(names)) if on_cpu else None
    try:
        command = [sys.executable, agent.__file__, *files]
        code, words = run_program(command, folder, limits, on_line)
    except WeightsError as error:
        raise Unsupported(error.message, hint=error.hint) from error
    if code:
        models = ", ".join(f"{m['id']} ({Path(m['path']).name})" for m in job["models"])
        raise DeviceError(
            f"running {models} ended with {ending(code)}: "
            f"{words[-1] if words else 'nothing was said'}",
            hint="the runtime cannot run this file on this machine; --debug shows all it said",
        ) from EdgekitError("\n".join(words[-40:]))
    timed = [model["id"] for model in job["models"]] if "latency" in job else []
    return read_result(folder / "result.json", " or ".join(names), timed)


def device_is_here(device: str) -> bool:
    """Whether this machine has the device itself, and a driver for it; a GPU of its own is not a
    phone's."""
    if device != "NPU" or not drivers(device):
        return False
    vendors = Path("/sys/class/accel").glob("accel*/device/vendor")
    return any(vendor.read_text(encoding="utf-8").strip() == INTEL for vendor in vendors)


def drivers(device: str) -> dict[str, str]:
    """The libraries of a device's driver, each with size and date: what it compiles and how fast it
    runs depends on them. Reading their versions would load OpenVINO, which a plan must not."""
    if device != "NPU":
        return {}
    names = ("libze_intel_npu.so*", "libnpu_driver_compiler.so*", "libze_intel_vpu.so*")
    found = {p.resolve() for folder in LIBRARY_FOLDERS for n in names for p in folder.glob(n)}
    return {p.name: f"{p.stat().st_size} {p.stat().st_mtime_ns}" for p in sorted(found)}


def measuring_identity(device: str = "CPU") -> dict[str, Any]:
    """What figures measured here depend on beside the model: the machine, and how it is done."""
    int8 = agent.int8_instructions()
    own = {"drivers": drivers(device)} if device != "CPU" else {}
    return own | {
        "host": {"cpu": agent.cpu_name(), "int8": int8, "cores": os.cpu_count()},
        "protocol": {**PROTOCOL, "threads": HOST_THREADS, "processes": PROCESSES},
        "agent": agent_digest(),
    }


def agent_digest() -> str:
    return sha256_of(Path(agent.__file__))
