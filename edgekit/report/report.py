"""The report as data: a versioned schema, made from a build, enough to render every page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgekit import __version__
from edgekit.action import library_versions
from edgekit.evidence import Evidence
from edgekit.gates import GateResult, Gates
from edgekit.plan import State, Step
from edgekit.plugins import find_runtimes
from edgekit.run import Build, RowResult, TargetResult
from edgekit.validate import Choice, Validation


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
    runtime: str
    precision: str
    baseline: bool
    last: bool
    artifact: str
    operators: dict[str, int]
    outside_delegate: list[str]
    validation: Validation
    gates: list[GateResult]


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

    schema_version: Literal[1] = 1
    edgekit: str
    created: str
    recipe: str
    arch: str
    image_size: int
    target: str
    target_description: str
    cpu: str
    threads: int
    """Threads that an application on the target gives to inference; host ratios use one."""
    status: Literal["passed", "broken"]
    broken: list[str]
    latency_evidence: Evidence
    not_measured: list[str]
    gates: Gates
    data: DataRecord
    rows: list[RowRecord]
    choice: Choice | None
    environment: dict[str, Any]
    libraries: dict[str, str]
    steps: list[StepRecord]


def make_report(build: Build, target: TargetResult) -> Report:
    recipe = build.plan.recipe
    spec = target.plan.target
    return Report(
        edgekit=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe.name,
        arch=recipe.model.arch,
        image_size=recipe.data.image_size,
        target=spec.name,
        target_description=spec.description,
        cpu=spec.cpu,
        threads=spec.threads,
        status="broken" if target.faults else "passed",
        broken=target.faults,
        latency_evidence=Evidence.HOST,
        not_measured=_not_measured(target),
        gates=target.plan.gates,
        data=_data(build),
        rows=[_row(row) for row in target.rows],
        choice=target.choice,
        environment=target.rows[-1].validation.environment if target.rows else {},
        libraries=_libraries(target),
        steps=_steps(build, target),
    )


def _not_measured(target: TargetResult) -> list[str]:
    """What a reader might take for measured, and why it was not."""
    environment = target.rows[-1].validation.environment
    int8 = environment.get("int8_instructions", [])
    here = f"has {', '.join(int8)}" if int8 else "has no int8 dot-product instructions"
    return [
        f"Latency on {target.plan.target.description}: no device took part in this build. The "
        f"ratios are this machine's, whose processor {here}; what int8 gains depends on them, so "
        f"expect other ratios on a {target.plan.target.cpu}."
    ]


def _row(result: RowResult) -> RowRecord:
    metadata = result.artifact.metadata
    return RowRecord(
        stage=result.row.stage,
        runtime=result.row.runtime,
        precision=metadata["precision"],
        baseline=result.row.baseline,
        last=result.row.last,
        artifact=result.artifact.digest,
        operators=metadata.get("operators", {}),
        outside_delegate=metadata.get("outside_delegate", []),
        validation=result.validation,
        gates=result.gates,
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
    for name in target.plan.target.runtimes:
        runtime = find_runtimes()[name]
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
        return {"state": State.CACHED, "reason": "unchanged"}
    if step.state is State.CACHED:
        return {"state": State.FOLLOWS, "reason": "a step above gave another result"}
    return {"state": step.state, "reason": step.reason}
