"""The report of one model on one device: all that it takes to believe its figures.

A figure that could not be had is None, and `not_available` says why, under its path.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from edgekit.devices.agent_result import (
    Delegate,
    DeviceState,
    Golden,
    Memory,
    ReportPart,
    WatchedStates,
    WatchLoad,
)
from edgekit.devices.bundle.bundled_model import Subject
from edgekit.evaluation.metrics import AccuracyChange, measurement
from edgekit.evaluation.operator_table import OperatorTable
from edgekit.evaluation.predictions import JudgedImages, Predictions
from edgekit.evidence import Evidence, Measurement, Reason, Validity
from edgekit.notebook import HasPage
from edgekit.stats import Interval


class RunIdentity(ReportPart):
    run: str
    started: str
    ended: str
    edgekit: str
    agent: str
    """sha256 of the agent's file."""
    evidence: Evidence
    proof: str = ""
    """What the report proves; empty in older ones."""


class DeviceFacts(ReportPart):
    name: str
    address: str
    machine: str
    emulator: str | None
    board: str | None
    soc: str | None
    cpu: str
    cores: int
    isa: list[str]
    max_clocks_mhz: list[float]
    ram_bytes: int | None
    os: str | None
    kernel: str
    page_size: int


class RuntimeFacts(ReportPart):
    name: str
    library: str
    """Distribution and version, as it is installed on the device."""
    python: str | None
    threads: int
    affinity: list[int] | None
    delegate: Delegate | None


class ProtocolFacts(ReportPart):
    timed_region: str
    clock: str
    batch: int
    input_source: str
    input_sha256: str | None
    """None where the tool makes the input itself."""
    warmup_runs: int
    warmup_seconds: float
    runs: int
    seconds: float
    processes: int
    pinned: bool


class LatencyUs(ReportPart):
    """Microseconds of single inferences, all processes together; `p50` is the median of their
    medians, and `medians` are those."""

    load: float
    first: float | None
    min: float
    mean: float
    p50: float
    p90: float | None
    p95: float
    p99: float | None
    """Only of 1000 samples and more."""
    max: float
    std: float
    medians: list[float]
    samples: list[list[float]]
    """Of each process, in the order they were taken; none where the tool keeps them to itself."""


class Sustained(ReportPart):
    """A run without a pause: the curve, and its first minute against its last."""

    seconds: float
    curve_us: list[tuple[float, float]]
    """Seconds since its begin, and the median of the window that ended there."""
    first_minute_us: float
    steady_us: float
    ratio: float
    throttled: int | None
    """The Raspberry Pi's bits that were set meanwhile: here they are what was asked for."""


class Energy(ReportPart):
    """Of the rails that the board's power chip tells: without what hangs on USB and HDMI, without a
    fan, and without the losses of the board's own converters and of the supply."""

    idle_watts: float
    busy_watts: float
    per_inference_joules: float
    above_idle_joules: float | None = None
    """The same without what the board takes when it idles."""
    board_watts: float | None = None
    """What the whole board takes while it works, *estimated* from the rails."""
    method: str


class SliceAnswers(ReportPart):
    """What the device says of each labelled image, which pairs it with another run."""

    classes: tuple[str, ...]
    images: JudgedImages
    """Known by their pixels, as the device has them."""
    predictions: Predictions

    @model_validator(mode="after")
    def _of_its_images_and_classes(self) -> SliceAnswers:
        columns = (self.images.labels, self.predictions.classes)
        if len(columns[0]) != len(columns[1]):
            raise ValueError(f"answers to {len(columns[0])} images expected")
        if any(max(column, default=0) >= len(self.classes) for column in columns):
            raise ValueError(f"{len(self.classes)} classes expected")
        return self


class Correctness(ReportPart):
    golden: Golden | None
    agreement: Measurement | None
    """With the scores of the same file on the machine that built it."""
    top1: Measurement | None
    host_top1: Measurement | None
    change: AccuracyChange | None
    """Against those scores, image by image."""
    answers: SliceAnswers | None = None
    """None in older reports, too."""


class DeviceReport(BaseModel, HasPage):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    schema_version: Literal[1] = 1
    identity: RunIdentity
    artifact: Subject
    device: DeviceFacts
    runtime: RuntimeFacts
    protocol: ProtocolFacts | None
    latency_us: LatencyUs | None
    threads_us: dict[int, float] | None
    """Median by number of threads."""
    ratio: Measurement | None
    """Against the float model on this device, interleaved in one process."""
    sustained: Sustained | None
    memory: Memory | None
    watching: WatchLoad | None = None
    """What it took to watch the run."""
    before: DeviceState | None
    after: DeviceState | None
    watched: WatchedStates
    correctness: Correctness
    energy: Energy | None
    operators: OperatorTable | None = None
    """How long each operator takes there."""
    validity: Validity
    reasons: list[Reason]
    not_available: dict[str, str]
    """Why a figure is missing, by its path."""

    @property
    def evidence(self) -> Evidence:
        return self.identity.evidence

    @property
    def median(self) -> Measurement | None:
        """Milliseconds, between the lowest and the highest median of the processes; None where
        there is no latency."""
        times = self.latency_us
        if not times:
            return None
        spread_ms = Interval(min(times.medians) / 1e3, max(times.medians) / 1e3)
        method = f"median of {len(times.medians)} processes' medians, and their range"
        runs = sum(map(len, times.samples))
        return measurement(times.p50 / 1e3, "ms", self.evidence, method, runs, spread_ms)

    def invalid(self) -> str:
        """What makes the run no result, in one line; empty where nothing does."""
        return "; ".join(r.words for r in self.reasons if r.validity is Validity.INVALID)
