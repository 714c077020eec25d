"""What a comparison found: the dataclasses of results.json, from which the table is rendered."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from edgekit.engine.artifact import Json
from edgekit.evidence import Measurement, Verdict
from tests.benchmarks.comparison.peers import Family


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Paired(_Model):
    """Two files on the same images. `gain` is in points: positive where the first one is right
    more often."""

    gain: float
    low: float
    high: float
    p_value: float
    """McNemar's exact test."""
    verdict: Verdict


class Scores(_Model):
    """What a file's scores are worth."""

    top1: Measurement
    against_float: Paired
    agreement: Measurement
    sqnr_db: float


class RowResult(_Model):
    name: str
    runtime: str
    family: Family
    ours: bool
    lines: int
    language: str
    minutes: float
    size_mb: float
    made: str
    scores: Scores | None = None
    latency: Measurement | None = None
    """Ratio to the same runtime's float file."""
    disturbed: bool = False
    error: str | None = None


class Difference(_Model):
    """A difference with its 95 % interval."""

    value: float
    low: float
    high: float


class Duel(_Model):
    """A file of edgekit's against the best peer of its runtime and family. The best is chosen for
    each figure apart, with the figures at hand: that favours the peers."""

    name: str
    runtime: str
    family: Family
    accuracy_peer: str
    accuracy: Paired
    agreement_peer: str
    agreement: Paired
    sqnr_peer: str
    sqnr_db: Difference
    latency: Measurement | None = None
    """Ratio to the fastest of these peers' files."""
    latency_peer: str | None = None
    disturbed: bool = False


class SubjectResult(_Model):
    name: str
    arch: str
    images: str
    image_size: int
    judged: int
    calibrated: int
    float_top1: Measurement
    """Of the torch model."""
    rows: tuple[RowResult, ...]
    duels: tuple[Duel, ...]


class Results(_Model):
    date: str
    command: str
    quick: bool
    machine: Json
    versions: dict[str, str]
    protocol: Json
    subjects: tuple[SubjectResult, ...]
    skipped: dict[str, str]
    """Models that could not be had, each with the reason."""
