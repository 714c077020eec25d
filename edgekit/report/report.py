"""The report as data: a versioned schema, made from a build, enough to render every page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgekit import __version__
from edgekit.build.run import Build, RowResult, TargetResult
from edgekit.devices.bench.validate_on_device import OnDeviceRecord, record_of
from edgekit.devices.estimate.roofline import Bound
from edgekit.engine.action import library_versions
from edgekit.engine.step import Step, StepState
from edgekit.evaluation.gates import GateResult, Gates
from edgekit.evaluation.metrics import Validation
from edgekit.evaluation.validate import Choice
from edgekit.evidence import Evidence
from edgekit.model_metadata import Audit, FloatOps, MixedPrecision, Search
from edgekit.pruning.record import Pruned
from edgekit.report.bounds import bounds_of
from edgekit.report.doubts import doubts, evidence_of, was_timed
from edgekit.runtimes import find_runtimes


class StepRecord(BaseModel):
    """A step of the build: what it was, and whether it had to run."""

    model_config = ConfigDict(extra="forbid")

    id: str
    key: str
    digest: str
    state: str
    reason: str
    seconds: float
    """What it took when it ran, in this build or in the one whose result was reused."""


class RowRecord(BaseModel):
    """One artifact, measured."""

    model_config = ConfigDict(extra="forbid")

    stage: str
    variant: str
    runtime: str
    precision: str
    baseline: bool
    last: bool
    artifact: str
    audit: Audit | None
    """None for a float model, of which nothing was asked."""
    float_ops: FloatOps | None
    search: Search | None = None
    """The ways that `method: auto` tried; None elsewhere."""
    mixed: MixedPrecision | None = None
    """What it gave back to float, and why."""
    validation: Validation
    gates: list[GateResult]
    on_device: OnDeviceRecord | None = None
    """The same file on a device of the user's."""


class DataRecord(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str
    fingerprint: str
    classes: list[str]
    counts: dict[str, dict[str, int]]
    evaluated_on: str
    unreadable: list[str]


class Report(BaseModel):
    """One target of one build. `status` is broken if a gate stopped it."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[2] = 2
    edgekit: str
    created: str
    recipe: str
    arch: str
    image_size: int
    target: str
    target_description: str
    device: str
    engine: str | None
    cpu: str
    isa: str | None
    memory_mb: int | None
    threads: int
    """Threads that an application on the target gives to inference; host ratios use one."""
    status: Literal["passed", "broken"]
    broken: list[str]
    evidence: Evidence
    """Where accuracy and latency were seen."""
    not_measured: list[str]
    bounds: dict[str, Bound] = {}
    """Of what shipped, by variant, where no device told its latency on the target's CPU."""
    gates: Gates
    data: DataRecord
    rows: list[RowRecord]
    pruned: list[Pruned] = []
    """What was cut of the network on its way, and what each cut bought."""
    left_out: dict[str, str]
    """Alternatives that cannot ship, each with the reason."""
    remarks: dict[str, str] = {}
    """What a stage of the trunk has to say of its result, such as that it brought nothing."""
    choice: Choice | None
    use: str
    """What to do with the files, in Markdown."""
    environment: dict[str, Any]
    libraries: dict[str, str]
    steps: list[StepRecord]

    @property
    def not_compared(self) -> list[str]:
        """What shipped and is no contender: it leaves normalisation, and its time, to the app."""
        compared = self.choice.ratios if self.choice else {}
        last = [row.variant for row in self.rows if row.last]
        return [v for v in last if compared and v not in compared and v not in self.left_out]

    @property
    def device_facts(self) -> str:
        """cortex-a76, armv8.2-a with dotprod, 4 threads, 4096 MB: as far as the target says."""
        memory = f"{self.memory_mb} MB" if self.memory_mb else None
        return "; ".join(filter(None, (self.cpu, self.isa, f"{self.threads} threads", memory)))

    @property
    def chosen(self) -> str | None:
        """The variant to take: the fastest that passed, or the only one; None where none did."""
        passed = [row.variant for row in self.rows if row.last and row.variant not in self.left_out]
        if self.status == "broken" or not passed:
            return None
        return self.choice.fastest if self.choice else passed[0]


def make_report(build: Build, target: TargetResult) -> Report:
    recipe = build.plan.recipe
    spec = target.plan.target
    return Report(
        edgekit=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe.name,
        arch=recipe.model.label,
        image_size=recipe.data.image_size,
        target=spec.name,
        target_description=spec.description,
        device=spec.device,
        engine=spec.engine,
        cpu=spec.cpu,
        isa=spec.isa,
        memory_mb=spec.memory_mb,
        threads=spec.threads,
        status="broken" if target.faults else "passed",
        broken=target.faults,
        evidence=evidence_of(target),
        not_measured=doubts(build, target),
        bounds=bounds_of(target) if spec.device == "CPU" and not was_timed(target) else {},
        gates=target.plan.gates,
        data=_data(build),
        rows=[_row(row) for row in target.rows],
        pruned=[a.metadata["pruning"] for a in build.artifacts.values() if "pruning" in a.metadata],
        left_out=target.left_out,
        remarks=_remarks(build),
        choice=target.choice,
        use=_use(build, target),
        environment=target.rows[-1].validation.environment if target.rows else {},
        libraries=_libraries(target),
        steps=_steps(build, target),
    )


def _use(build: Build, target: TargetResult) -> str:
    """The target's words on what to do with the files, with this build's names in them."""
    recipe = build.plan.recipe
    return target.plan.target.use_for(
        recipe=recipe.name,
        size=recipe.data.image_size,
        crop=recipe.data.crop_pct,
        classes=len(build.artifacts["splits"].metadata["classes"]),
        variants=list(target.shipped),
    )


def _remarks(build: Build) -> dict[str, str]:
    return {
        name: artifact.metadata["remark"]
        for name, artifact in build.artifacts.items()
        if "/" not in name and "remark" in artifact.metadata
    }


def _row(result: RowResult) -> RowRecord:
    metadata = result.artifact.metadata
    return RowRecord(
        stage=result.row.stage,
        variant=result.row.variant,
        runtime=result.row.runtime,
        precision=metadata["precision"],
        baseline=result.row.baseline,
        last=result.row.last,
        artifact=result.artifact.digest,
        audit=metadata.get("audit"),
        float_ops=metadata.get("float_ops"),
        search=metadata.get("search"),
        mixed=metadata.get("mixed"),
        validation=result.validation,
        gates=result.gates,
        on_device=record_of(result.on_device) if result.on_device else None,
    )


def _data(build: Build) -> DataRecord:
    splits = build.artifacts["splits"].metadata
    unreadable = [
        row
        for name, artifact in build.artifacts.items()
        if name.startswith("images/")
        for row in artifact.metadata["unreadable"]
    ]
    source = build.plan.recipe.data
    return DataRecord(
        source=str(source.model_dump()["source"]),
        fingerprint=splits["fingerprint"],
        classes=splits["classes"],
        counts=splits["counts"],
        evaluated_on=source.evaluate_on,
        unreadable=sorted(set(unreadable)),
    )


def _libraries(target: TargetResult) -> dict[str, str]:
    names: set[str] = {"torch", "timm", "numpy", "scipy"}
    for variant in target.plan.target.variants:
        runtime = find_runtimes()[variant.runtime]
        names |= {*runtime.libraries, runtime.engine}
    return library_versions(tuple(sorted(names)))


def _steps(build: Build, target: TargetResult) -> list[StepRecord]:
    others = {t.plan.target.name for t in build.targets} - {target.plan.target.name}
    return [
        StepRecord(
            id=step.id,
            key=step.key,
            digest=build.artifacts[step.id].digest,
            **_why(step, step.id in build.ran),
            seconds=build.artifacts[step.id].seconds,
        )
        for step in build.plan.steps
        if step.id in build.artifacts and step.id.split("/")[0] not in others
    ]


def _why(step: Step, ran: bool) -> dict[str, str]:
    if not ran:
        return {"state": StepState.CACHED, "reason": "unchanged"}
    if step.state is StepState.CACHED:
        return {"state": StepState.FOLLOWS, "reason": "a step above gave another result"}
    return {"state": step.state, "reason": step.reason}
