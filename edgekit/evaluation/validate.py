"""Measure what a stage left: accuracy and latency on the target's runtime, compared fairly.

Accuracy is compared image by image with the float model (McNemar's test and a paired interval);
latency against the float model compiled for the same runtime, interleaved in several processes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Artifact, Json, Metadata
from edgekit.engine.confinement import Confinement
from edgekit.errors import NotAsAsked
from edgekit.evaluation.conversion_check import FLOAT_SQNR_DB, HALF_SQNR_DB, hold_to_source
from edgekit.evaluation.file_audit import complaint
from edgekit.evaluation.measure import (
    evidence_on,
    measure,
    measuring_identity,
    undisturbed,
)
from edgekit.evaluation.metrics import (
    Validation,
    accuracy_of,
    latency_of,
    measurement,
)
from edgekit.evaluation.timing import Candidate
from edgekit.evidence import Evidence
from edgekit.models import foreign, timm_models
from edgekit.models.source import ModelSource
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.runtimes.contract.input_form import InputForm

RESULT = "validation.json"


class ReferenceScores(Action):
    """Scores of the float model on the evaluation split, as every stage is held to: computed in the
    framework it comes from."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source

    def used_libraries(self) -> tuple[str, ...]:
        return foreign.libraries(self.source.format)

    def settings(self) -> Json:
        return {}

    def confinement(self, inputs: Inputs) -> Confinement | None:
        return foreign.confinement_of(self.source)

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        model, card = timm_models.restore(inputs["model"])
        images = np.load(inputs["images"].file("images.npy"), mmap_mode="r")
        form = InputForm(dtype="float32", mean=card.mean, std=card.std)
        score, rows = foreign.scorer(model, card), []
        for i in range(0, len(images), 32):
            rows.append(score(form.prepare(images[i : i + 32])))
            context.progress(min(i + 32, len(images)), len(images), "score the float model")
        np.save(into / "scores.npy", np.concatenate(rows).astype(np.float32))
        return Metadata()


class Validate(Action):
    """Validate one compiled artifact on one runtime."""

    version = 5
    libraries = ("numpy", "scipy")

    def __init__(self, runtime: str, baseline: bool, device: str = "CPU") -> None:
        self.runtime = runtime
        self.baseline = baseline
        self.device = device

    @property
    def times(self) -> bool:
        return True

    def settings(self) -> Json:
        ours = {"runtime": self.runtime, "baseline": self.baseline, "device": self.device}
        return {**ours, **measuring_identity(self.device)}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        _hold_to_order(self.runtime, inputs["model"])
        images = inputs["images"].file("images.npy")
        labels = np.load(inputs["images"].file("labels.npy"))
        reference = np.load(inputs["reference"].file("scores.npy"))
        candidates = [candidate("model", self.runtime, inputs["model"], self.device)]
        if not self.baseline:
            candidates.append(candidate("float", self.runtime, inputs["baseline"], self.device))
        outcome = measure(candidates, images, context.progress, score=("model",))
        timed = undisturbed(lambda: measure(candidates, images, context.progress), outcome)
        timings = timed.timings
        scores = outcome.scores["model"]
        finite = np.isfinite(scores).all(axis=1)
        if not finite.all():
            raise NotAsAsked(
                f"{self.runtime} gives NaN or infinite scores for {np.sum(~finite)} of "
                f"{len(scores)} images",
                hint="a range was clipped to nothing: try another calibration",
            )
        if self.baseline:
            least = FLOAT_SQNR_DB if self.device == "CPU" else HALF_SQNR_DB
            hold_to_source(self.runtime, reference, scores, least)
        card = inputs["model"].described_by(CompiledMetadata).card
        size = file_bytes(self.runtime, inputs["model"])
        small = None if self.baseline else size / file_bytes(self.runtime, inputs["baseline"])
        result = Validation(
            **accuracy_of(
                scores, reference, labels, card.classes, self.baseline, evidence_on(self.device)
            ),
            size=measurement(size / 1e6, "MB", Evidence.MEASURED, "bytes of the model file"),
            size_ratio=small
            and measurement(small, "ratio", Evidence.MEASURED, "bytes of the files"),
            parameters=card.parameters,
            macs=card.macs,
            latency=latency_of(timings["model"], timings.get("float"), evidence_on(self.device)),
            environment=outcome.environment,
        )
        np.save(into / "scores.npy", scores)
        (into / RESULT).write_text(result.model_dump_json(indent=1), encoding="utf-8")
        return Metadata()


def _hold_to_order(runtime: str, model: Artifact) -> None:
    """A file must be what its quantize stage was asked for. Judged here, and not where it is made:
    the file is kept, and an unchanged build does not make it again to refuse it again.

    Raises:
        NotAsAsked: it is not.
    """
    metadata = model.described_by(CompiledMetadata)
    requested, found = metadata.quantization, metadata.audit
    if requested and found:
        wrong = complaint(
            found, requested.precision, requested.per_channel, requested.max_float_macs
        )
        if wrong:
            raise NotAsAsked(f"{runtime}: {wrong[0]}", hint=wrong[1])


def candidate(name: str, runtime: str, artifact: Artifact, device: str = "CPU") -> Candidate:
    form = artifact.described_by(CompiledMetadata).form
    path = artifact.file(find_runtimes()[runtime].file)
    return Candidate(name, runtime, path, form, device)


def read_validation(artifact: Artifact) -> Validation:
    artifact.verify()
    return artifact.read(RESULT, Validation)


def file_bytes(runtime: str, artifact: Artifact) -> int:
    """Of all files that a compiled model consists of."""
    plugin = find_runtimes()[runtime]
    return sum(artifact.file(n).stat().st_size for n in plugin.files())
