"""Measure what a stage left: accuracy and latency on the target's runtime, compared fairly.

Accuracy is compared image by image with the float model (McNemar's test and a paired interval);
latency against the float model compiled for the same runtime, interleaved in one process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from edgekit import foreign, models, stats
from edgekit.action import Action, Context, Inputs
from edgekit.artifact import Artifact, Json
from edgekit.audit import Audit, complaint
from edgekit.errors import NotAsAsked
from edgekit.evidence import Evidence, Measurement, Verdict
from edgekit.measure import (
    HOST_THREADS,
    Candidate,
    Timing,
    measure,
    measuring_identity,
)
from edgekit.model_source import Format
from edgekit.models import Card
from edgekit.plugins import find_runtimes
from edgekit.runtimes.base import InputForm

FLOAT_SQNR_DB = 40.0
HALF_SQNR_DB = 25.0
"""Of a device that computes in float16."""
RESULT = "validation.json"
CHOICE = "choice.json"


class AccuracyChange(BaseModel):
    """A stage against the float model, on the same images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    drop: Measurement
    lost: int
    won: int
    mcnemar_p: float
    verdict: Verdict


class Latency(BaseModel):
    """Host latency. The ratio is the figure; the milliseconds are this machine's alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: Measurement | None
    """Against the float model on the same runtime and threads; None for the float model."""
    verdict: Verdict | None
    threads: int
    runs: int
    load_ms: float
    first_ms: float
    p50_ms: float
    p90_ms: float
    spread_ms: float
    """Between the quartiles."""
    median: Measurement | None = None
    """Milliseconds on the target's own device; None where the host stood in for it."""


class Validation(BaseModel):
    """Everything that was measured of one artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top1: Measurement
    recall: dict[str, Measurement]
    agreement: Measurement
    sqnr_db: float
    change: AccuracyChange | None
    size: Measurement
    size_ratio: Measurement | None
    parameters: int
    macs: int
    latency: Latency
    environment: dict[str, Any]


class ReferenceScores(Action):
    """Scores of the float model on the evaluation split, as every stage is held to: computed in the
    framework it comes from."""

    def __init__(self, format: Format = "torch") -> None:
        self.format = format

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return foreign.libraries(self.format)

    def settings(self) -> Json:
        return {}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        model, card = models.restore(inputs["model"])
        images = np.load(inputs["images"].file("images.npy"), mmap_mode="r")
        form = InputForm(dtype="float32", mean=card.mean, std=card.std)
        score, rows = foreign.scorer(model, card), []
        for i in range(0, len(images), 32):
            rows.append(score(form.prepare(images[i : i + 32])))
            context.progress(min(i + 32, len(images)), len(images), "score the float model")
        np.save(into / "scores.npy", np.concatenate(rows).astype(np.float32))
        return {"card": inputs["model"].metadata["card"]}


class Validate(Action):
    """Validate one compiled artifact on one runtime."""

    version = 2
    libraries = ("numpy", "scipy")

    def __init__(self, runtime: str, baseline: bool, device: str = "CPU") -> None:
        self.runtime = runtime
        self.baseline = baseline
        self.device = device

    def settings(self) -> Json:
        ours = {"runtime": self.runtime, "baseline": self.baseline, "device": self.device}
        return {**ours, **measuring_identity(self.device)}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        _hold_to_order(self.runtime, inputs["model"])
        images = inputs["images"].file("images.npy")
        labels = np.load(inputs["images"].file("labels.npy"))
        reference = np.load(inputs["reference"].file("scores.npy"))
        candidates = [candidate("model", self.runtime, inputs["model"], self.device)]
        if not self.baseline:
            candidates.append(candidate("float", self.runtime, inputs["baseline"], self.device))
        outcome = measure(candidates, images, context.progress, score=("model",))
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
            _hold_to_source(self.runtime, reference, scores, least)
        card = Card.model_validate(inputs["model"].metadata["card"])
        size = _bytes(self.runtime, inputs["model"])
        small = None if self.baseline else size / _bytes(self.runtime, inputs["baseline"])
        result = Validation(
            **_accuracy(
                scores, reference, labels, card.classes, self.baseline, evidence_on(self.device)
            ),
            size=_figure(size / 1e6, "MB", Evidence.MEASURED, "bytes of the model file"),
            size_ratio=small and _figure(small, "ratio", Evidence.MEASURED, "bytes of the files"),
            parameters=card.parameters,
            macs=card.macs,
            latency=_latency(
                outcome.timings["model"], outcome.timings.get("float"), evidence_on(self.device)
            ),
            environment=outcome.environment,
        )
        np.save(into / "scores.npy", scores)
        (into / RESULT).write_text(result.model_dump_json(indent=1))
        return {}


def _hold_to_order(runtime: str, model: Artifact) -> None:
    """A file must be what its quantize stage was asked for. Judged here, and not where it is made:
    the file is kept, and an unchanged build does not make it again to refuse it again.

    Raises:
        NotAsAsked: it is not.
    """
    asked = model.metadata.get("quantization")
    if asked:
        found = Audit.model_validate(model.metadata["audit"])
        wrong = complaint(found, asked["precision"], asked["per_channel"], asked["max_float_macs"])
        if wrong:
            raise NotAsAsked(f"{runtime}: {wrong[0]}", hint=wrong[1])


def _hold_to_source(
    runtime: str, reference: NDArray[np.float32], scores: NDArray[np.float32], least: float
) -> None:
    """A float file must compute what its source computes: the same channel order, input range and
    class order. Converters keep 100 dB; a mistake in any of these leaves next to nothing.

    Raises:
        NotAsAsked: it does not.
    """
    sqnr = stats.sqnr_db(reference, scores)
    if sqnr < least:
        same = np.mean(reference.argmax(axis=1) == scores.argmax(axis=1))
        raise NotAsAsked(
            f"the float model compiled for {runtime} is not the source any more: its scores are "
            f"{sqnr:.1f} dB from the source's (at least {least:g} expected), "
            f"{100 * same:.1f} % agree",
            hint="the conversion changed the channel order, the input range, the class order or an "
            "operator; the source's own scores are the reference",
        )


class Choice(BaseModel):
    """The variants of a target, fastest first, from one interleaved run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fastest: str
    certain: bool
    """The interval of the ratio to the next one excludes 1."""
    ratios: dict[str, Measurement]
    """Median latency of each variant against the fastest one's."""


class Choose(Action):
    """Name the fastest of the artifacts that passed: all measured in one interleaved run."""

    libraries = ("numpy", "scipy")

    def __init__(self, runtimes: dict[str, str], device: str = "CPU") -> None:
        self.runtimes = runtimes
        """The runtime of each variant."""
        self.device = device

    def settings(self) -> Json:
        return {"runtimes": self.runtimes, "device": self.device, **measuring_identity(self.device)}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        images = inputs["images"].file("images.npy")
        candidates = [
            candidate(name, self.runtimes[name], artifact, self.device)
            for name, artifact in inputs.items()
            if name != "images"
        ]
        timings = measure(candidates, images, context.progress).timings
        order = sorted(timings, key=lambda name: float(np.median(timings[name].medians)))
        best = timings[order[0]]
        evidence = evidence_on(self.device)
        ratios = {name: _ratio(timings[name], best, evidence) for name in order}
        others = [ratios[name].low or 0.0 for name in order[1:]]
        choice = Choice(fastest=order[0], certain=all(low > 1 for low in others), ratios=ratios)
        (into / CHOICE).write_text(choice.model_dump_json(indent=1))
        return {}


def candidate(name: str, runtime: str, artifact: Artifact, device: str = "CPU") -> Candidate:
    form = InputForm.model_validate(artifact.metadata["form"])
    path = artifact.file(find_runtimes()[runtime].file)
    return Candidate(name, runtime, path, form, device)


def read_validation(artifact: Artifact) -> Validation:
    artifact.verify()
    return Validation.model_validate_json(artifact.file(RESULT).read_text())


def read_choice(artifact: Artifact) -> Choice:
    artifact.verify()
    return Choice.model_validate_json(artifact.file(CHOICE).read_text())


def gate_figures(validation: Validation) -> dict[str, Measurement | None]:
    """What each gate is held against. Milliseconds need the target's own device."""
    return {
        "max_accuracy_drop": validation.change.drop if validation.change else None,
        "min_agreement": validation.agreement,
        "max_size_mb": validation.size,
        "max_size_ratio": validation.size_ratio,
        "max_latency_ratio": validation.latency.ratio,
        "max_latency_ms": validation.latency.median,
    }


def _accuracy(
    scores: NDArray[np.float32],
    reference: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    baseline: bool,
    evidence: Evidence,
) -> Json:
    """The figures that come from scores of shape (images, classes)."""
    predicted, expected = scores.argmax(axis=1), reference.argmax(axis=1)
    right = predicted == labels
    same = int(np.sum(predicted == expected))
    present = [(i, name) for i, name in enumerate(classes) if np.any(labels == i)]
    change = stats.paired_accuracy(expected == labels, right)
    method = "paired, Agresti-Min interval"
    drop = _figure(change.drop, "points", evidence, method, len(labels), change)
    return {
        "top1": _share(int(right.sum()), len(labels), evidence),
        "recall": {
            name: _share(int(right[labels == i].sum()), int(np.sum(labels == i)), evidence)
            for i, name in present
        },
        "agreement": _share(same, len(labels), evidence),
        "sqnr_db": round(stats.sqnr_db(reference, scores), 1),
        "change": None
        if baseline
        else AccuracyChange(
            drop=drop,
            lost=change.lost,
            won=change.won,
            mcnemar_p=change.p_value,
            verdict=change.verdict,
        ),
    }


def evidence_on(device: str) -> Evidence:
    """Only a device other than the CPU is the target's own: processors are all alike to us."""
    return Evidence.HOST if device == "CPU" else Evidence.MEASURED


def _latency(timing: Timing, baseline: Timing | None, evidence: Evidence) -> Latency:
    runs = timing.rounds.ravel() * 1e3
    ratio = _ratio(timing, baseline, evidence) if baseline else None
    verdict = None
    if ratio and ratio.low is not None and ratio.high is not None:
        verdict = Verdict.WORSE if ratio.low > 1 else Verdict.CANNOT_TELL
        verdict = Verdict.BETTER if ratio.high < 1 else verdict
    p25, p50, p75, p90 = (float(p) for p in np.percentile(runs, (25, 50, 75, 90)))
    return Latency(
        ratio=ratio,
        verdict=verdict,
        threads=HOST_THREADS,
        runs=runs.size,
        load_ms=1e3 * timing.load,
        first_ms=1e3 * timing.first,
        p50_ms=p50,
        p90_ms=p90,
        spread_ms=p75 - p25,
        median=None
        if evidence is Evidence.HOST
        else _figure(p50, "ms", evidence, "median of single inferences", runs.size),
    )


def _ratio(timing: Timing, baseline: Timing, evidence: Evidence) -> Measurement:
    value, interval = stats.median_ratio(timing.medians, baseline.medians)
    rounds = len(timing.rounds)
    method = f"interleaved in one process, {rounds} rounds, paired block bootstrap"
    return _figure(value, "ratio", evidence, method, rounds, interval)


def _share(successes: int, trials: int, evidence: Evidence) -> Measurement:
    ends = stats.proportion(successes, trials)
    percent = stats.Interval(100 * ends.low, 100 * ends.high)
    value = 100 * successes / trials
    return _figure(value, "%", evidence, "Wilson interval", trials, percent)


def _figure(
    value: float,
    unit: str,
    evidence: Evidence,
    method: str,
    samples: int | None = None,
    interval: stats.Interval | stats.PairedAccuracy | None = None,
) -> Measurement:
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Measurement(
        value=value,
        unit=unit,
        evidence=evidence,
        method=method,
        samples=samples,
        low=low,
        high=high,
    )


def _bytes(runtime: str, artifact: Artifact) -> int:
    plugin = find_runtimes()[runtime]
    return sum(artifact.file(n).stat().st_size for n in (plugin.file, *plugin.companions))
