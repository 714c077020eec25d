"""One variant's folder, ready to copy: its model, manifest, labels, a golden input and its scores,
and classify.py. It is made beside its destination and swapped in whole."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import numpy as np

from edgekit.agent import classify
from edgekit.build_folder.manifest import LineageStep, Manifest, ModelFacts, Preprocessing
from edgekit.build_folder.reading import MANIFEST
from edgekit.build_folder.report import Report, StepRecord
from edgekit.engine.artifact import Artifact
from edgekit.evaluation.score_meaning import meaning_of
from edgekit.evidence import Status
from edgekit.pipeline.draft import REFERENCE, images
from edgekit.pipeline.run import Build, RowResult
from edgekit.pipeline.runtime_steps import BlobMetadata
from edgekit.pipeline.variant_steps import PRECOMPILE
from edgekit.report.published_files import list_beside, swap
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import CompilesAhead
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata


def publish_variant(build: Build, result: RowResult, report: Report, destination: Path) -> Manifest:
    runtime = find_runtimes()[result.row.runtime]
    card = result.artifact.described_by(CompiledMetadata).card
    manifest = _manifest(build, result, report)
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.parent / f".{destination.name}.part-{uuid.uuid4().hex}"
    part.mkdir()
    try:
        for name in runtime.files():
            shutil.copyfile(result.artifact.verified(name), part / name)
        blob = _blob(build, result)
        if blob and issubclass(runtime, CompilesAhead):
            shutil.copyfile(blob.verified(runtime.blob), part / runtime.blob)
        labels = "".join(f"{name}\n" for name in card.classes)
        (part / "labels.txt").write_text(labels, encoding="utf-8")
        if manifest.preprocessing.inside_the_model:
            _write_golden(build, result, part)
        shutil.copyfile(classify.__file__, part / "classify.py")
        manifest = manifest.model_copy(update={"beside": list_beside(part)})
        (part / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
        swap(part, destination)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def _verdict(result: RowResult, report: Report) -> Status:
    if result.broken:
        return Status.BROKEN
    return Status.UNTRAINED if report.untrained else Status.PASSED


def _blob(build: Build, result: RowResult) -> Artifact | None:
    """What the target's device made of the file, where this machine has the device."""
    return build.artifacts.get(result.row.model.sibling(PRECOMPILE))


def _compiled_for(blob: Artifact) -> dict[str, str]:
    metadata = blob.described_by(BlobMetadata)
    return {"device": metadata.device, **metadata.facts}


def _manifest(build: Build, result: RowResult, report: Report) -> Manifest:
    runtime = find_runtimes()[result.row.runtime]
    artifact = result.artifact
    metadata = artifact.described_by(CompiledMetadata)
    card, form = metadata.card, metadata.form
    blob = _blob(build, result)
    own = {name: artifact.files[name] for name in runtime.files()}
    return Manifest(
        file=runtime.file,
        files={**own, **(blob.files if blob else {})},
        variant=result.row.variant,
        runtime=runtime.name,
        engine=runtime.engine,
        compiled_for=_compiled_for(blob) if blob else None,
        precision=metadata.precision,
        quantization=metadata.quantization,
        float_ops=metadata.float_ops,
        by_time=metadata.by_time,
        audit=metadata.audit,
        input=metadata.input or form,
        output=metadata.output,
        preprocessing=Preprocessing(
            image_size=card.image_size,
            fit=card.fit,
            crop_pct=card.crop_pct,
            interpolation=card.interpolation,
            orientation=card.orientation,
            inside_the_model=form.dtype == "uint8",
            mean=form.mean,
            std=form.std,
        ),
        classes=card.classes,
        scores=meaning_of(np.load(build.artifacts[REFERENCE].verified("scores.npy"))),
        model=ModelFacts(
            arch=card.arch,
            parameters=card.parameters,
            macs=card.macs,
            widths=card.widths,
            activation=card.activation,
        ),
        data_fingerprint=report.data.fingerprint,
        lineage=tuple(
            LineageStep(id=step.id, key=step.key, digest=step.digest)
            for step in _ancestors(build, report, result)
        ),
        libraries=report.libraries,
        edgekit=report.edgekit,
        gates=tuple(result.gates),
        verdict=_verdict(result, report),
    )


def _ancestors(build: Build, report: Report, result: RowResult) -> list[StepRecord]:
    """The steps a model came through, first to last."""
    inputs = {step.id: step.inputs.values() for step in build.plan.steps}
    wanted, queue = set(), [result.row.model]
    while queue:
        name = queue.pop()
        wanted.add(name)
        queue += inputs[name]
    return [step for step in report.steps if step.id in wanted]


def _write_golden(build: Build, result: RowResult, folder: Path) -> None:
    """The first evaluation image and its scores: what a device must give back."""
    judge = images(build.plan.recipe.data.evaluate_on)
    pixels = np.load(build.artifacts[judge].verified("images.npy"), mmap_mode="r")
    scores = np.load(build.artifacts[result.row.validation].verified("scores.npy"))
    np.save(folder / "golden_input.npy", pixels[:1])
    port = result.artifact.described_by(CompiledMetadata).output
    assert port is not None  # only an exported file takes raw pixels
    if port.scale is not None:
        scores = np.round(scores / port.scale) + port.zero_point
    np.save(folder / "golden_scores.npy", scores[:1].astype(port.dtype))
