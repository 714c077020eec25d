"""Make the report of a target from its build."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

from edgekit import __version__
from edgekit.build_folder.report import DataRecord, Report, RowRecord, StepRecord
from edgekit.data.images import ImagesMetadata
from edgekit.data.splits import SplitsMetadata
from edgekit.devices.bench.validate_on_device import record_of
from edgekit.engine.action import library_versions
from edgekit.engine.artifact import Artifact, digest_of
from edgekit.engine.step import Step, StepState
from edgekit.evaluation.input_advice import figures
from edgekit.evaluation.predictions import Predictions
from edgekit.evaluation.source_check import SourceCheckMetadata
from edgekit.models.float_metadata import FloatMetadata
from edgekit.pipeline.draft import CHECK_SOURCE, IMAGES, SPLITS
from edgekit.pipeline.run import Build, RowResult, TargetResult
from edgekit.report.bounds import bounds_of
from edgekit.report.doubts import doubts
from edgekit.report.near import near_problem
from edgekit.report.predictions import judged_images, predictions
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata


def make_report(build: Build, target: TargetResult) -> Report:
    recipe = build.plan.recipe
    spec = target.plan.target
    judged = judged_images(build)
    return Report(
        edgekit=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe.name,
        recipe_key=digest_of(recipe.model_dump(mode="json", exclude={"report", "search"})),
        arch=recipe.model.label,
        image_size=recipe.data.image_size,
        fit=recipe.data.fit,
        target=spec.name,
        target_description=spec.description,
        device=spec.device,
        engine=spec.engine,
        cpu=spec.cpu,
        isa=spec.isa,
        memory_mb=spec.memory_mb,
        threads=spec.threads,
        status=target.status,
        broken=target.faults,
        chance=target.chance,
        evidence=target.evidence,
        not_measured=doubts(build, target),
        processor=build.plan.processors.get(spec.name, []),
        bounds=bounds_of(target) if spec.device == "CPU" and not target.was_timed else {},
        gates=target.plan.gates,
        data=_data(build),
        judged=judged,
        rows=[
            _row(row, predictions(build, target, row) if judged else None) for row in target.rows
        ],
        pruned=[model.pruning for model in _float_models(build).values() if model.pruning],
        curves={name: m.curve for name, m in _float_models(build).items() if m.curve},
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
        framing=recipe.data.framing,
        classes=len(build.artifacts[SPLITS].described_by(SplitsMetadata).classes),
        variants=list(target.shipped),
    )


def _remarks(build: Build) -> dict[str, str]:
    of_models = {name: m.remark for name, m in _float_models(build).items() if m.remark}
    return {**build.plan.weights, **of_models, **_undecided_input(build)}


def _undecided_input(build: Build) -> dict[str, str]:
    """What the images could not tell of a model from elsewhere: there the recipe's word stands."""
    check = build.artifacts.get(CHECK_SOURCE)
    found = check.described_by(SourceCheckMetadata) if check else None
    if not found or not found.others:
        return {}
    others = "; ".join(
        f"{one.words}: {figures(one.right, one.loss)}{' (surer)' * one.surer}"
        for one in found.others
    )
    told = [
        f"of {found.images} training images {figures(found.right, found.loss)} as the recipe says. "
        f"As far as they tell, no worse, best first: {others}",
        f"To take the first, {found.best_lines}"
        if found.best_lines
        else "None of them is better than what the recipe says",
        "The recipe's word is taken, and more images would tell",
    ]
    return {"model input": ". ".join(told)}


def _float_models(build: Build) -> dict[str, FloatMetadata]:
    """Of the recipe's model and of what each stage that all targets share made of it."""
    return {
        name: artifact.described_by(FloatMetadata)
        for name, artifact in build.artifacts.items()
        if artifact.is_described_by(FloatMetadata)
    }


def _row(result: RowResult, said: Predictions | None) -> RowRecord:
    metadata = result.artifact.described_by(CompiledMetadata)
    return RowRecord(
        stage=result.row.stage,
        variant=result.row.variant,
        runtime=result.row.runtime,
        precision=metadata.precision,
        baseline=result.row.baseline,
        last=result.row.last,
        artifact=result.artifact.digest,
        audit=metadata.audit,
        float_ops=metadata.float_ops,
        search=metadata.search,
        mixed=metadata.mixed,
        how_quantized=metadata.how_quantized,
        by_time=metadata.by_time,
        validation=result.validation,
        gates=result.gates,
        on_device=record_of(result.on_device) if result.on_device else None,
        predictions=said,
    )


def _data(build: Build) -> DataRecord:
    splits = build.artifacts[SPLITS].described_by(SplitsMetadata)
    unreadable = {
        row
        for name, artifact in build.artifacts.items()
        if name.variant == IMAGES
        for row in artifact.described_by(ImagesMetadata).unreadable
    }
    source, known = build.plan.recipe.data, {*build.plan.review.unreadable}
    counts = _readable(build.artifacts[SPLITS], unreadable - known)
    if source.unreadable == "skip":
        unreadable |= known
    return DataRecord(
        source=str(source.model_dump()["source"]),
        fingerprint=splits.fingerprint,
        classes=list(splits.classes),
        counts=counts,
        doubled=splits.doubled,
        evaluated_on=source.evaluate_on,
        unreadable=sorted(unreadable),
        problems=[*build.plan.review.with_unreadable(unreadable), *near_problem(build)],
    )


def _readable(splits: Artifact, unreadable: set[str]) -> dict[str, dict[str, int]]:
    """Images of each class in each split, without those that only decoding found unreadable."""
    counts = splits.described_by(SplitsMetadata).counts
    if not unreadable:
        return counts
    rows = json.loads(splits.verified("splits.json").read_bytes())
    return {
        split: dict(
            Counter(
                label
                for name, label, _ in listed
                if not any(line.startswith(f"{name}: ") for line in unreadable)
            )
        )
        for split, listed in rows.items()
    }


def _libraries(target: TargetResult) -> dict[str, str]:
    names: set[str] = {"torch", "timm", "numpy", "scipy"}
    for variant in target.plan.target.variants:
        runtime = find_runtimes()[variant.runtime]
        names |= {*runtime.libraries, runtime.engine}
    return library_versions(tuple(sorted(names)))


def _steps(build: Build, target: TargetResult) -> list[StepRecord]:
    own = ("", target.plan.target.name)
    return [
        StepRecord(
            id=step.id,
            key=step.key,
            digest=build.artifacts[step.id].digest,
            **_why(step, step.id in build.ran),
            seconds=build.artifacts[step.id].seconds,
        )
        for step in build.plan.steps
        if step.id in build.artifacts and step.id.target in own
    ]


def _why(step: Step, ran: bool) -> dict[str, str]:
    if not ran:
        return {"state": StepState.CACHED, "reason": "unchanged"}
    if step.state is StepState.CACHED:
        return {"state": StepState.FOLLOWS, "reason": "a step above gave another result"}
    return {"state": step.state, "reason": step.reason}
