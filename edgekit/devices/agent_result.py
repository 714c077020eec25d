"""What the agent writes on a device, read back and checked: a result may come on a stick."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from edgekit.devices.engines import option_for
from edgekit.errors import DeviceError, Fault


class ReportPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DeviceState(ReportPart):
    """What may change while a device works; None, or nothing, for what it does not tell."""

    at: float
    """Seconds of the device's monotonic clock."""
    phase: str = "idle"
    temperature_c: float | None
    clocks_mhz: list[float]
    governors: list[str | None]
    throttled: int | None
    """The Raspberry Pi's bits: 0-3 now, 16-19 since it started."""
    load_average: list[float]
    available_bytes: int | None
    watts: float | None
    battery_percent: int | None


class Memory(ReportPart):
    """Bytes of the process: with the runtime imported, with the model loaded, at most."""

    baseline: int | None
    loaded: int | None
    peak: int | None
    method: str = "VmRSS and VmHWM of /proc/self/status"


class Delegate(ReportPart):
    """What was asked to run the model, and what does."""

    asked: str
    applied: str
    nodes_delegated: int | None = None
    nodes_total: int | None = None


class Process(ReportPart):
    """One process of the protocol: seconds, raw."""

    load: float
    first: float
    samples: list[float]
    began: float
    ended: float
    windows: list[tuple[float, float, int]]
    """Of a sustained run: when each window ended, its median, its number of runs."""
    affinity: list[int]
    memory: Memory
    delegate: Delegate


class Golden(ReportPart):
    max_abs_diff: float
    spread: float
    """Between the lowest and the highest of the scores that were expected."""
    same_top1: int
    images: int


class Interleaved(ReportPart):
    load: float
    first: float
    rounds: list[list[float]]


class AgentResult(ReportPart):
    """The agent's result."""

    id: str | None
    agent: str
    """sha256 of the agent's file."""
    started: str
    ended: str
    environment: dict[str, Any]
    board: dict[str, Any]
    golden: Golden | None = None
    before: DeviceState | None = None
    after: DeviceState | None = None
    watched: list[DeviceState] = []
    watch_failure: str | None = None
    """Why the device could not be watched all the time."""
    models: dict[str, str] = {}
    """sha256 of each file that was run."""
    protocol: dict[int, list[Process]] = {}
    """By number of threads."""
    sustained: Process | None = None
    latency: dict[str, Interleaved] = {}
    scores: dict[str, str] = {}
    """A .npy of float32 (images, classes) by model, in base64."""

    def scores_of(self, model: str) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.load(io.BytesIO(base64.b64decode(self.scores[model])))
        return found


def message_of(line: str) -> dict[str, Any] | None:
    """A line of progress; None for what a library printed in between."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    is_progress = isinstance(message, dict) and {"stage", "done", "total"} <= message.keys()
    return message if is_progress else None


def read_result(name: str, text: str) -> AgentResult:
    """
    Raises:
        DeviceError: the agent ended well and left something else, such as scores that are NaN.
    """
    try:
        return AgentResult.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        wrong = first["type"] == "finite_number"
        raise DeviceError(
            f"{name}: the result of the run is none: {where}: {first['msg']}",
            hint="the runtime there computes no numbers: `edgekit device setup` installs the "
            "versions the build used"
            if wrong
            else "try again; if it happens again, its storage is faulty",
            fault=Fault.WRONG_RESULT if wrong else Fault.NO_RESULT,
        ) from error


def crash(name: str, code: int, stderr: str) -> DeviceError:
    """Why the agent ended, from what it said last."""
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


NOW_BITS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
