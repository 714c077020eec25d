"""report.json: all that a build found of one target. Every page is rendered from it alone."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgekit.build_folder.target_estimates import TargetEstimates
from edgekit.data.framing import Fit
from edgekit.data.problem import DataProblem, ProblemKind
from edgekit.data.size import Size
from edgekit.engine.artifact import FileEntry
from edgekit.engine.records import Digest, PlainName
from edgekit.evaluation.chance import ChanceTest
from edgekit.evaluation.choose import Choice
from edgekit.evaluation.device_spread import DeviceSpread
from edgekit.evaluation.environment import Environment
from edgekit.evaluation.gates import GateResult, Gates, GateVerdict
from edgekit.evaluation.metrics import AccuracyChange, DeviceLatency, Validation, verdict_on_ratio
from edgekit.evaluation.operator_table import ShippedOperators
from edgekit.evaluation.predictions import JudgedImages, Predictions
from edgekit.evidence import (
    Bound,
    Evidence,
    InvalidityCause,
    InvalidMeasurement,
    Measurement,
    Reason,
    Status,
    Validity,
    Verdict,
    believed,
    unless_invalid,
)
from edgekit.models.pruned import Pruned
from edgekit.models.training_curve import TrainingCurve
from edgekit.notebook import HasPage
from edgekit.runtimes.contract.compiled_metadata import (
    Audit,
    FloatByTime,
    FloatOps,
    MixedPrecision,
    Search,
)

REPORT_SCHEMA: Literal[3] = 3


class StepRecord(BaseModel):
    """A step of the build: what it was, and whether it had to run."""

    model_config = ConfigDict(extra="forbid")

    id: str
    key: str
    digest: Digest
    state: str
    reason: str
    seconds: float
    """What it took when it ran, in this build or in the one whose result was reused."""


class OnDeviceRecord(BaseModel):
    """What a build's report says of a row on the device; the whole report lies beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    cpu: str
    library: str
    started: str
    """When it was measured: a row that is unchanged is not measured again."""
    evidence: Evidence
    threads: int
    top1: Measurement
    agreement: Measurement
    """With the host's scores of the same file."""
    change: AccuracyChange
    """Against them, image by image."""
    median: Measurement | None
    """Milliseconds, between the lowest and the highest median of the processes; None in an
    emulator."""
    ratio: Measurement | None
    """Against the float model on the device."""
    validity: Validity
    reasons: list[Reason]

    @property
    def latency(self) -> DeviceLatency | None:
        """What gates on latency are held against; None in an emulator."""
        if self.median is None:
            return None
        unwatched = next((r for r in self.reasons if r.cause is InvalidityCause.UNWATCHED), None)
        if unwatched:  # it may have been slowed down, and float beside it alike
            return DeviceLatency(InvalidMeasurement.of(self.median, unwatched.words), self.ratio)
        return DeviceLatency(self.median, self.ratio)

    def told(self, figure: Measurement | None) -> Measurement | InvalidMeasurement | None:
        """A figure of this run as it may be told."""
        return unless_invalid(figure, self.validity, self.reasons)


class RowRecord(BaseModel):
    """One artifact, measured."""

    model_config = ConfigDict(extra="forbid")

    stage: str
    variant: str
    runtime: str
    precision: str
    baseline: bool
    last: bool
    artifact: Digest
    audit: Audit | None
    """None for a float model, of which nothing was asked."""
    float_ops: FloatOps | None
    search: Search | None = None
    """The ways that `method: auto` tried; None elsewhere."""
    mixed: MixedPrecision | None = None
    """What it gave back to float, and why."""
    how_quantized: str = ""
    """The method that was taken and why, in one line."""
    by_time: FloatByTime | None = None
    """What it gave back to float because int8 is slower there."""
    validation: Validation
    gates: list[GateResult]
    on_device: OnDeviceRecord | None = None
    """The same file on a device of the user's."""
    predictions: Predictions | None = None
    """Of the float models and of what each variant came to, image by image of
    `Report.judged`; None of what lies between, and in older reports."""


class DataRecord(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str
    fingerprint: str
    classes: list[str]
    counts: dict[str, dict[str, int]]
    doubled: int = 0
    """Rows that list an image again on which accuracy was measured; each image counts once."""
    evaluated_on: str
    unreadable: list[str]
    problems: list[DataProblem] = []
    """What is odd about the images and stopped nothing, as `plan` told it."""


class Report(BaseModel, HasPage):
    """One target of one build. `status` is untrained where its float model is no better than
    guessing, and broken if a gate stopped it."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[3] = REPORT_SCHEMA
    edgekit: str
    created: str
    recipe: PlainName
    recipe_key: str | None = None
    """Digest of all that the recipe says; None in older reports."""
    arch: str
    image_size: Size
    fit: Fit = "crop"
    """What becomes of pictures of another shape."""
    target: str
    target_description: str
    device: str
    engine: str | None
    cpu: str
    isa: str | None
    memory_mb: int | None
    threads: int = Field(ge=1, lt=2**16)
    """Threads that an application on the target gives to inference; host ratios use one."""
    status: Status
    broken: list[str]
    chance: ChanceTest | None = None
    """The float model against always naming the commonest class; None in older reports."""
    evidence: Evidence
    """Where accuracy and latency were seen."""
    not_measured: list[str]
    processor: list[str] = []
    """What is doubtful of the target's processor, or of the device that stands for it."""
    bounds: dict[str, Bound] = {}
    """Of what shipped, by variant, where no device told its latency on the target's CPU."""
    spread: DeviceSpread | None = None
    """Of the devices that shared the measuring, on what shipped."""
    estimates: TargetEstimates | None = None
    """Latencies on the target's core from executed instructions, where no device told them."""
    operators: ShippedOperators | None = None
    """Of what shipped, by time and noise; None in older reports, and where nothing shipped."""
    gates: Gates
    data: DataRecord
    judged: JudgedImages | None = None
    """None in older reports."""
    thumbnails: FileEntry | None = None
    """thumbnails.json, which lies beside the report; None where the recipe leaves it out."""
    rows: list[RowRecord]
    pruned: list[Pruned] = []
    """What was cut of the network on its way, and what each cut bought."""
    curves: dict[str, TrainingCurve] = {}
    """How each training went, by its stage."""
    left_out: dict[str, str]
    """Alternatives that cannot ship, each with the reason."""
    remarks: dict[str, str] = {}
    """What a stage of the trunk has to say of its result, such as that it brought nothing."""
    choice: Choice | None
    use: str
    """What to do with the files, in Markdown."""
    environment: Environment
    libraries: dict[str, str]
    steps: list[StepRecord]

    @model_validator(mode="after")
    def _predictions_are_of_its_images_and_classes(self) -> Report:
        found = [row.predictions.classes for row in self.rows if row.predictions]
        images = len(self.judged.digests) if self.judged else 0
        if any(len(column) != images for column in found):
            raise ValueError(f"predictions of {images} images expected")
        columns = [*found, *([self.judged.labels] if self.judged else [])]
        if any(max(column, default=0) >= len(self.data.classes) for column in columns):
            raise ValueError(f"judged, predictions: {len(self.data.classes)} classes expected")
        return self

    @property
    def not_compared(self) -> dict[str, str]:
        """What shipped and is no contender, each with the reason."""
        compared = self.choice.ratios if self.choice else {}
        last = [row.variant for row in self.rows if row.last]
        others = [v for v in last if compared and v not in compared and v not in self.left_out]
        return dict.fromkeys(others, "it leaves normalisation, and its time, to the app")

    @property
    def untrained(self) -> str:
        """Why nothing can be concluded; empty where the float model has learned something."""
        return "" if self.chance is None or self.chance.is_trained else str(self.chance)

    @property
    def near_duplicates(self) -> list[DataProblem]:
        """Of the problems with the images, what a build alone can see."""
        return [problem for problem in self.data.problems if problem.kind is ProblemKind.NEAR]

    @property
    def slower(self) -> str:
        """That the variant to take wins no time; empty where it does or the runs cannot tell."""
        for row in self.rows:
            if not row.last or row.variant != self.chosen:
                continue
            latency, size, device = row.validation.latency, row.validation.size_ratio, row.on_device
            ratio, verdict, where = believed(latency.ratio), latency.verdict, row.runtime
            if device and (on_device := believed(device.told(device.ratio))):
                ratio, verdict, where = on_device, verdict_on_ratio(on_device), device.device
            if verdict is Verdict.WORSE:
                times = f": {ratio.value:.2f} times its latency on {where}" if ratio else ""
                smaller = "smaller, but " if size and size.value < 1 else ""
                return f"{smaller}slower than float{times}"
        return ""

    @property
    def uncertain(self) -> list[str]:
        """Gates of which the images or the runs cannot tell whether they are held."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            for gate in row.gates:
                if gate.verdict is GateVerdict.CANNOT_TELL:
                    found.setdefault(str(gate), []).append(f"{row.variant} {row.stage}")
        return [f"{', '.join(places)}: {gate}" for gate, places in found.items()]

    @property
    def device_facts(self) -> str:
        """cortex-a76, armv8.2-a with dotprod, 4 threads, 4096 MB: as far as the target says."""
        memory = f"{self.memory_mb} MB" if self.memory_mb else None
        return "; ".join(filter(None, (self.cpu, self.isa, f"{self.threads} threads", memory)))

    @property
    def chosen(self) -> str | None:
        """The variant to take: `Choice.chosen`, or the only one; None where none passed."""
        passed = [row.variant for row in self.rows if row.last and row.variant not in self.left_out]
        if self.broken or not passed:
            return None
        return self.choice.chosen if self.choice else passed[0]
