"""Measure the files: scores of each, kept; latencies of all files of one model and one runtime,
interleaved in one process; duels of edgekit's with the best peers'."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit import stats
from edgekit.engine.artifact import digest_of, sha256_of
from edgekit.engine.atomic import write_atomically
from edgekit.errors import EdgekitError
from edgekit.evaluation.latency_ratio import BOOTSTRAP_RESAMPLES
from edgekit.evaluation.measure import measure
from edgekit.evaluation.metrics import ratio_of, share_of
from edgekit.evaluation.timing import Candidate, Timing
from edgekit.evidence import Evidence, Measurement
from tests.benchmarks.comparison.making import Facts, Row, read_facts
from tests.benchmarks.comparison.results import (
    Difference,
    Duel,
    Paired,
    RowResult,
    Scores,
    SubjectResult,
)
from tests.benchmarks.comparison.subjects import Given

Bools = NDArray[np.bool_]


@dataclass
class Measured:
    """A file, and what was measured of it."""

    facts: Facts
    scores: NDArray[np.float32] | None = None
    timing: Timing | None = None
    error: str | None = None

    @property
    def id(self) -> str:
        return self.facts.name

    @property
    def candidate(self) -> Candidate:
        facts = self.facts
        assert facts.path is not None
        assert facts.form is not None
        return Candidate(facts.name, facts.runtime, Path(facts.path), facts.form)


@dataclass(frozen=True)
class Judge:
    """Images that nobody has seen, on the disk, with labels and the torch model's scores."""

    path: Path
    labels: NDArray[np.int64]
    reference: NDArray[np.float32]

    def right(self, scores: NDArray[np.float32]) -> Bools:
        found: Bools = scores.argmax(axis=1) == self.labels
        return found

    def agrees(self, scores: NDArray[np.float32]) -> Bools:
        found: Bools = scores.argmax(axis=1) == self.reference.argmax(axis=1)
        return found


def measure_subject(rows: list[Row], given: Given, work: Path, repeats: int) -> SubjectResult:
    """Score and time the files of one model.

    Args:
        repeats: interleaved runs for each runtime, whose rounds are joined; 0 for no latency.
    """
    images, labels, reference = given.judge()
    path = work / given.subject.name / "judge.npy"
    np.save(path, images)
    judge = Judge(path, labels, reference)
    measured = []
    for row in rows:
        folder = work / given.subject.name / row.id
        facts = read_facts(folder)
        if facts is None:
            print(f"{given.subject.name}  {row.id}: not made yet, left out", flush=True)
            continue
        print(f"{given.subject.name}  {row.id}", flush=True)
        measured.append(_score(facts, judge, folder))
    for runtime in dict.fromkeys(row.runtime for row in rows):
        runnable = [m for m in measured if m.facts.runtime == runtime and m.scores is not None]
        _time(runnable, judge, repeats)
    floats = {m.facts.runtime: m for m in measured if m.facts.family == "float"}
    return SubjectResult(
        name=given.subject.name,
        arch=given.card.arch,
        images=given.subject.images,
        image_size=given.size,
        judged=len(labels),
        calibrated=len(given.calibration),
        float_top1=_share(judge.right(reference)),
        rows=tuple(_result(m, judge, floats.get(m.facts.runtime)) for m in measured),
        duels=tuple(duel for m in measured if (duel := _duel(m, measured, judge))),
    )


def _score(facts: Facts, judge: Judge, folder: Path) -> Measured:
    """The scores of a file, computed once for a file and images."""
    if facts.path is None or facts.error:
        return Measured(facts, error=facts.error)
    kept, key_file = folder / "scores.npy", folder / "scores.key"
    digests = [sha256_of(path) for path in _parts(facts)]
    key = digest_of([digests, sha256_of(judge.path)])
    if not (kept.is_file() and key_file.is_file() and key_file.read_text() == key):
        one = Measured(facts)
        try:
            outcome = measure([one.candidate], judge.path, _quiet, score=(one.id,), latency=False)
        except EdgekitError as error:
            return Measured(facts, error=error.message)
        np.save(kept, outcome.scores[one.id])
        write_atomically(key_file, key)
    scores = np.load(kept)
    if not np.isfinite(scores).all():
        return Measured(facts, error="NaN or infinite scores")
    return Measured(facts, scores=scores)


def _time(measured: list[Measured], judge: Judge, repeats: int) -> None:
    """Latencies, all in one process: each repeat interleaves all files anew."""
    runs = [measure([m.candidate for m in measured], judge.path, _quiet).timings
            for _ in range(repeats if measured else 0)]  # fmt: skip
    for m in measured:
        own = [run[m.id] for run in runs]
        if own:
            rounds = np.concatenate([timing.rounds for timing in own])
            m.timing = Timing(own[0].load, own[0].first, rounds)


def _result(m: Measured, judge: Judge, reference: Measured | None) -> RowResult:
    facts, scores, latency, disturbed = m.facts, None, None, False
    if m.scores is not None:
        scores = Scores(
            top1=_share(judge.right(m.scores)),
            against_float=_paired(judge.right(m.scores), judge.right(judge.reference)),
            agreement=_share(judge.agrees(m.scores)),
            sqnr_db=round(stats.sqnr_db(judge.reference, m.scores), 2),
        )
    if m.timing and reference and reference.timing:
        latency = ratio_of(m.timing, reference.timing, Evidence.HOST)
        disturbed = m.timing.disturbed or reference.timing.disturbed
    return RowResult(
        **facts.model_dump(include={"name", "runtime", "family", "ours", "lines", "language"}),
        minutes=facts.seconds / 60,
        size_mb=facts.bytes / 1e6,
        made=facts.date,
        scores=scores,
        latency=latency,
        disturbed=disturbed,
        error=m.error,
    )


def _duel(ours: Measured, measured: list[Measured], judge: Judge) -> Duel | None:
    """The best peer for each figure, and what sets edgekit's file apart from it."""
    facts = ours.facts
    peers = [
        m
        for m in measured
        if m.scores is not None
        and not m.facts.ours
        and (m.facts.runtime, m.facts.family) == (facts.runtime, facts.family)
    ]
    if not facts.ours or ours.scores is None or not peers:
        return None
    found = {m.id: m.scores for m in peers if m.scores is not None}
    right = {name: judge.right(scores) for name, scores in found.items()}
    agrees = {name: judge.agrees(scores) for name, scores in found.items()}
    sqnr = {name: stats.sqnr_db(judge.reference, scores) for name, scores in found.items()}
    # Ties go to the one whose scores are nearer to float.
    best_right = max(found, key=lambda name: (right[name].sum(), sqnr[name]))
    best_agreed = max(found, key=lambda name: (agrees[name].sum(), sqnr[name]))
    best_sqnr = max(found, key=lambda name: sqnr[name])
    timed = {m.id: m.timing for m in peers if m.timing}
    fastest = min(timed, key=lambda name: float(np.median(timed[name].medians)), default=None)
    return Duel(
        name=facts.name,
        runtime=facts.runtime,
        family=facts.family,
        accuracy_peer=best_right,
        accuracy=_paired(judge.right(ours.scores), right[best_right]),
        agreement_peer=best_agreed,
        agreement=_paired(judge.agrees(ours.scores), agrees[best_agreed]),
        sqnr_peer=best_sqnr,
        sqnr_db=sqnr_difference(judge.reference, ours.scores, found[best_sqnr]),
        latency=ratio_of(ours.timing, timed[fastest], Evidence.HOST)
        if fastest and ours.timing
        else None,
        latency_peer=fastest,
        disturbed=any(t.disturbed for t in (ours.timing, timed.get(fastest or "")) if t),
    )


def sqnr_difference(
    reference: NDArray[np.float32], one: NDArray[np.float32], other: NDArray[np.float32]
) -> Difference:
    """How many dB one file's median SQNR lies above another's; images are drawn anew, paired."""
    rng = np.random.default_rng(0)
    count = len(reference)
    drawn = rng.integers(0, count, (BOOTSTRAP_RESAMPLES, count))
    each = [_sqnr_of_images(reference, scores) for scores in (one, other)]
    medians = [np.median(values[drawn], axis=1) for values in each]
    low, high = np.quantile(medians[0] - medians[1], (0.025, 0.975))
    value = np.median(each[0]) - np.median(each[1])
    return Difference(value=float(value), low=float(low), high=float(high))


def _sqnr_of_images(
    reference: NDArray[np.float32], scores: NDArray[np.float32]
) -> NDArray[np.float64]:
    pairs = zip(reference[:, None], scores[:, None], strict=True)
    return np.array([stats.sqnr_db(*pair) for pair in pairs])


def _paired(ours: Bools, theirs: Bools) -> Paired:
    found = stats.paired_accuracy(theirs, ours)
    return Paired(
        gain=0.0 - found.drop,  # no negative zero
        low=-found.high,
        high=-found.low,
        p_value=found.p_value,
        verdict=found.verdict,
    )


def _share(hits: Bools) -> Measurement:
    return share_of(int(hits.sum()), len(hits), Evidence.HOST)


def _parts(facts: Facts) -> list[Path]:
    path = Path(facts.path or "")
    return [path, path.with_suffix(".bin")] if facts.runtime == "openvino" else [path]


def _quiet(done: int, total: int, note: str) -> None:
    pass
