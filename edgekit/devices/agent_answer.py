"""How the agent's answer is taken: a result with all that its job asked for, or why it ended."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from edgekit.devices.agent_result import AgentResult, Threads
from edgekit.devices.engines import option_for
from edgekit.engine.confined_errors import says_out_of_memory, too_much
from edgekit.engine.confinement import Confinement
from edgekit.engine.records import BadRecord, shown
from edgekit.errors import DeviceError, Fault


class JobPart(BaseModel):
    """Of a job what its result is held against; the rest is the agent's."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class JobModel(JobPart):
    id: str
    device: str = "CPU"


class JobProtocol(JobPart):
    threads: tuple[Threads, ...] = Field(min_length=1)
    processes: int = Field(ge=1, lt=2**31)
    sustained_seconds: float = 0.0

    def check(self, result: AgentResult) -> None:
        """The numbers of threads after the first are left out where there are no cores for them."""
        first = self.threads[0]
        processes = result.protocol.get(first, [])
        if len(processes) < self.processes:
            raise BadRecord(
                f"protocol.{first}: {self.processes} processes at {first} threads expected, not "
                f"{len(processes)}"
            )
        if self.sustained_seconds and result.sustained is None:
            raise _missing("sustained")


class Job(JobPart):
    id: str | None = None
    models: tuple[JobModel, ...] = Field(min_length=1)
    golden: dict[str, Any] | None = None
    protocol: JobProtocol | None = None
    latency: dict[str, Any] | None = None
    scores: dict[str, Any] | None = None
    operators: dict[str, Any] | None = None

    def check(self, result: AgentResult) -> None:
        """
        Raises:
            BadRecord: it lacks a part of what was asked for.
        """
        subject = self.models[0].id
        if self.golden is not None and result.golden is None:
            raise _missing("golden")
        if self.scores is not None and subject not in result.scores:
            raise _missing(f"scores.{shown(subject)}")
        if result.latency:
            self._check_timed_models(result.latency)
        # In an emulator nothing is timed.
        if result.board.emulator is None:
            self._check_timings(result)

    def _check_timed_models(self, found: Collection[str]) -> None:
        expected = {model.id for model in self.models}
        if set(found) != expected:
            raise BadRecord(
                f"latency: of {', '.join(map(shown, sorted(expected)))} expected, not of "
                f"{', '.join(map(shown, found))}"
            )

    def _check_timings(self, result: AgentResult) -> None:
        if self.latency is not None and not result.latency:
            raise _missing("latency")
        if self.operators is not None and result.operators is None:
            raise _missing("operators")
        if self.protocol is not None:
            self.protocol.check(result)


def _missing(field: str) -> BadRecord:
    return BadRecord(f"{field}: this field is missing, and the job asks for it")


def no_result(name: str, problem: BadRecord) -> DeviceError:
    """The agent ended well on a device and left something else, such as scores that are NaN."""
    what = f"{name}: the result of the run is none: {problem}"
    if problem.not_finite:
        return not_finite(what)
    return DeviceError(
        what,
        hint="try again; if it happens again, its storage is faulty",
        fault=Fault.NO_RESULT,
    )


def not_finite(what: str) -> DeviceError:
    return DeviceError(
        what,
        hint="the runtime there computes no numbers: `edgekit device setup` installs the versions "
        "the build used",
        fault=Fault.WRONG_RESULT,
    )


def crash(name: str, code: int, stderr: str, limits: Confinement | None = None) -> DeviceError:
    """Why the agent ended, from what it said last.

    Args:
        limits: that it ran under.
    """
    if limits and says_out_of_memory(stderr):
        told = too_much(limits)
        return DeviceError(told.message, hint=told.hint, fault=Fault.CRASHED)
    lines = stderr.strip().splitlines() or ["nothing was said"]
    last = lines[-1]
    if "No module named" in last:
        package = last.rpartition("'")[0].rpartition("'")[2]
        return DeviceError(
            f"{name}: {package} is not installed for the Python that runs there",
            hint=f"edgekit device setup {name}{option_for(package)}",
            fault=Fault.MISSING_RUNTIME,
        )
    signals = {132: "SIGILL, an instruction it does not have", 137: "SIGKILL, mostly for want of "
               "memory", 139: "SIGSEGV"}  # fmt: skip
    what = signals.get(code if code > 0 else 128 - code, f"exit code {code}")
    return DeviceError(
        f"{name}: the run ended with {what}: {last}",
        hint="`edgekit device check` tells what is missing; --debug shows all it said",
        fault=Fault.CRASHED,
    )
