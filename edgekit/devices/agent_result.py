"""What the agent writes on a device, read back and checked: a result may come on a stick.

All that is used of a result has passed these models: nothing behind them looks at JSON again.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from edgekit.evaluation.arrays import parse_array
from edgekit.evaluation.run_result import Interleaved, RunSeconds, Seconds

Clock = Annotated[float, Field(ge=0, le=1e10)]
"""Seconds of a monotonic clock."""
Count = Annotated[int, Field(ge=0, lt=2**31)]
Threads = Annotated[int, Field(ge=1, lt=2**16)]
Whole = Annotated[int, Field(ge=0, lt=2**63)]
"""Bytes, pages or operations."""
MemoryBytes = Annotated[int, Field(gt=-(2**63), lt=2**63)]
"""A phone's tool tells differences: what was given back is below 0."""
Bits = Annotated[int, Field(ge=0, lt=2**32)]
Reading = Annotated[float, Field(ge=-1e9, le=1e9)]
"""Of a sensor, which may be broken and tell nonsense."""
Amount = Annotated[float, Field(ge=0, le=1e9)]
Score = Annotated[float, Field(ge=0, le=1e39)]
"""A difference between scores, which are float32."""


class ReportPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Environment(ReportPart):
    """The machine and its runtimes, as far as it can be read."""

    model_config = ConfigDict(extra="ignore")

    machine: str
    """As `uname -m` says it, of the process."""
    cpu: str
    cores: Count | None
    """0, or None, where they cannot be counted."""
    system: str = ""
    python: str | None = None
    """None where no Python runs."""
    int8_instructions: list[str] = []
    load_average: list[Amount] = []
    versions: dict[str, str] = {}
    """Of distributions."""
    devices: dict[str, dict[str, str]] = {}
    """What OpenVINO says of devices beside the CPU."""
    litert: str | None = None
    """The module that ran TFLite files."""


class Board(ReportPart):
    """What a report names of a device beside its environment; None for what it does not tell."""

    model_config = ConfigDict(extra="ignore")

    emulator: str | None
    board: str | None
    soc: str | None
    isa: list[str]
    ram_bytes: Whole | None
    os: str | None
    kernel: str
    page_size: Whole
    max_clocks_mhz: list[Amount]


class Fan(ReportPart):
    """A fan that the kernel steers; `rpm` is None where it does not tell how fast it turns."""

    level: Count
    highest: Count | None
    rpm: Count | None


class WatchLoad(ReportPart):
    """What watching a run took itself: CPU seconds of one core, of how many seconds."""

    cpu_seconds: Amount
    seconds: Amount = Field(gt=0)


class DeviceState(ReportPart):
    """What may change while a device works; None, or nothing, for what it does not tell."""

    at: Clock
    """Seconds of the device's monotonic clock."""
    phase: str = "idle"
    temperature_c: Reading | None
    clocks_mhz: list[Amount]
    """What the kernel tells of each core, which on a Raspberry Pi is the clock it asked for."""
    arm_clock_mhz: Amount | None = None
    """The one that a Raspberry Pi's firmware gives."""
    governors: list[str | None]
    throttled: Bits | None
    """The Raspberry Pi's bits: 0-3 now, 16-19 since it started."""
    throttled_unread: str | None = None
    """What vcgencmd said in place of them."""
    fan: Fan | None = None
    load_average: list[Amount]
    available_bytes: Whole | None
    swapped_pages: Whole | None = None
    """Pages of memory written to swap and read from it, since it started."""
    watts: Reading | None
    battery_percent: Count | None


class Memory(ReportPart):
    """Bytes of the process: with the runtime imported, with the model loaded, at most."""

    baseline: MemoryBytes | None
    loaded: MemoryBytes | None
    peak: MemoryBytes | None
    method: str = "VmRSS and VmHWM of /proc/self/status"


class Delegate(ReportPart):
    """What was asked to run the model, and what does."""

    asked: str
    applied: str
    nodes_delegated: Count | None = None
    nodes_total: Count | None = None


class Process(ReportPart):
    """One process of the protocol: seconds, raw."""

    load: Seconds
    first: Seconds
    samples: list[RunSeconds] = Field(min_length=1)
    began: Clock
    ended: Clock
    windows: list[tuple[Seconds, RunSeconds, Count]]
    """Of a sustained run: when each window ended, its median, its number of runs."""
    affinity: list[Count]
    memory: Memory
    delegate: Delegate

    @field_validator("windows")
    @classmethod
    def _in_order(cls, windows: list[tuple[float, float, int]]) -> list[tuple[float, float, int]]:
        ends = [ended for ended, _, _ in windows]
        if ends != sorted(set(ends)):
            raise ValueError("windows that end one after the other expected")
        return windows


class Golden(ReportPart):
    max_abs_diff: Score
    spread: Score
    """Between the lowest and the highest of the scores that were expected."""
    same_top1: Count
    images: Count = Field(ge=1)

    @model_validator(mode="after")
    def _of_its_images(self) -> Golden:
        if self.same_top1 > self.images:
            raise ValueError(f"same_top1 is {self.same_top1} of {self.images} images")
        return self


class OperatorSeconds(ReportPart):
    """Of each operator that ran, and of the whole file; LiteRT's begin with the whole file."""

    names: list[str]
    kinds: list[str]
    seconds: list[Seconds] = Field(min_length=1)
    inferences: list[Seconds] = Field(min_length=1)

    @model_validator(mode="after")
    def _of_equal_length(self) -> OperatorSeconds:
        if not len(self.names) == len(self.kinds) == len(self.seconds):
            raise ValueError("as many names, kinds and seconds expected")
        return self


def _in_time(states: list[DeviceState]) -> list[DeviceState]:
    times = [state.at for state in states]
    if times != sorted(times):
        raise ValueError("states that follow one after the other expected")
    return states


WatchedStates = Annotated[list[DeviceState], AfterValidator(_in_time)]
"""A device as it was while it worked, in the order of time."""


class AgentResult(ReportPart):
    """The agent's result."""

    id: str | None
    agent: str
    """sha256 of the agent's file."""
    started: str
    ended: str
    environment: Environment
    board: Board
    golden: Golden | None = None
    before: DeviceState | None = None
    after: DeviceState | None = None
    watched: WatchedStates = []
    watch_failure: str | None = None
    """Why the device could not be watched all the time."""
    watching: WatchLoad | None = None
    models: dict[str, str] = {}
    """sha256 of each file that was run."""
    protocol: dict[Threads, Annotated[list[Process], Field(min_length=1)]] = {}
    """By number of threads."""
    sustained: Process | None = None
    latency: dict[str, Interleaved] = {}
    operators: OperatorSeconds | None = None
    scores: dict[str, str] = {}
    """A .npy of float32 (images, classes) by model, in base64."""

    @field_validator("sustained")
    @classmethod
    def _has_windows(cls, process: Process | None) -> Process | None:
        if process and not process.windows:
            raise ValueError("windows of a run without a pause expected, and there is none")
        return process

    @field_validator("latency")
    @classmethod
    def _of_the_same_rounds(cls, latency: dict[str, Interleaved]) -> dict[str, Interleaved]:
        counts = {len(entry.rounds) for entry in latency.values()}
        if len(counts) > 1:
            raise ValueError(f"as many rounds of each model expected, not {sorted(counts)}")
        return latency

    @field_validator("scores")
    @classmethod
    def _can_be_read(cls, scores: dict[str, str]) -> dict[str, str]:
        for text in scores.values():
            _decoded(text)
        return scores

    def scores_of(self, model: str) -> NDArray[np.float32]:
        """float32 (images, classes)."""
        return _decoded(self.scores[model])


def _decoded(text: str) -> NDArray[np.float32]:
    try:
        found = parse_array(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise ValueError(f"no base64: {error}") from error
    if found.ndim != 2 or found.size == 0 or found.dtype != np.float32:
        raise ValueError(f"float32 (images, classes) expected, not {found.dtype} {found.shape}")
    return found


NOW_BITS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}


def clock_of(state: DeviceState) -> float | None:
    """The clock of the fastest core in MHz, as far as it is known."""
    return state.arm_clock_mhz or max(state.clocks_mhz, default=None)
