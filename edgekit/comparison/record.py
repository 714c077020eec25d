"""What `edgekit compare` finds: every page and `--json` come from it alone."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.evaluation.metrics import AccuracyChange
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement, Verdict, value_and_range
from edgekit.notebook import HasPage


class ComparisonPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SideRecord(ComparisonPart):
    """One of those that are compared."""

    letter: str
    """A, B, ...: what tables call it."""
    path: str
    kind: Literal["variant", "device report"]
    arch: str | None
    """None of a device report."""
    runtime: str
    precision: str
    where: str
    """The target it was built for, or the device it ran on."""
    sha256: str
    size: Measurement
    top1: Measurement | None
    doubts: tuple[str, ...]
    """What keeps its figures from being believed, or says that they show little."""


class Answer(ComparisonPart):
    name: str
    """The class."""
    probability: float


class FlippedImage(ComparisonPart):
    """An image of which the two name different classes."""

    name: str
    digest: str
    label: str
    answers: tuple[Answer, Answer]
    turn: Literal["lost", "won", "both wrong"]
    """lost: the first is right, and the second wrong."""


class AccuracyComparison(ComparisonPart):
    images: int
    """Of the same content and label, judged by both."""
    only: tuple[int, int]
    """Images that the first or the second alone was judged by."""
    relabelled: int
    """Images that both were judged by, under different labels."""
    change: AccuracyChange | None
    """The second against the first; None where they were not judged by the same images."""
    verdict: Verdict
    reason: str
    """Why there is no paired verdict; empty where there is one."""
    flipped: tuple[FlippedImage, ...]


class LatencyComparison(ComparisonPart):
    where: str
    evidence: Evidence | None
    """None where nothing was timed."""
    medians: tuple[Measurement | None, Measurement | None]
    """Milliseconds on a device; None of this machine, whose own say little."""
    ratio: Measurement | InvalidMeasurement | None
    """Of the second to the first."""
    verdict: Verdict
    reason: str
    """What keeps it from being told; empty where it is."""


class Difference(ComparisonPart):
    what: str
    values: tuple[str | None, str | None]
    """None where one has no such thing."""


class PairRecord(ComparisonPart):
    """The second against the first."""

    first: SideRecord
    second: SideRecord
    same_file: bool
    accuracy: AccuracyComparison
    latency: tuple[LatencyComparison, ...]
    """On each machine; none where timing was left out and no device told it."""
    size_ratio: Measurement
    operators: tuple[Difference, ...]
    operators_untold: str
    """Why operators are not compared; empty where they are."""
    settings: tuple[Difference, ...]

    @property
    def names(self) -> str:
        return f"{self.second.letter} against {self.first.letter}"

    def worse(self) -> dict[Literal["accuracy", "latency"], str]:
        """In what the second is significantly worse, in words."""
        found: dict[Literal["accuracy", "latency"], str] = {}
        if self.accuracy.change and self.accuracy.verdict is Verdict.WORSE:
            drop = self.accuracy.change.drop
            value, ends = value_and_range(drop)
            found["accuracy"] = f"{value} points lower ({ends}, {drop.evidence})"
        judged = self.judged_latency
        if judged and judged.verdict is Verdict.WORSE and isinstance(judged.ratio, Measurement):
            value, ends = value_and_range(judged.ratio, 2)
            found["latency"] = f"{value} times ({ends}, {judged.ratio.evidence})"
        return found

    @property
    def judged_latency(self) -> LatencyComparison | None:
        """The one that counts: a device's, or this machine's where no device has a verdict."""
        told = [each for each in self.latency if not each.reason]
        return min(told, key=lambda each: each.evidence is Evidence.HOST, default=None)

    def untold(self) -> dict[Literal["accuracy", "latency"], str]:
        """What no verdict could be given of for want of data, with the reason."""
        found: dict[Literal["accuracy", "latency"], str] = {}
        if self.accuracy.reason:
            found["accuracy"] = self.accuracy.reason
        if not self.same_file and all(each.reason for each in self.latency):
            found["latency"] = "; ".join(e.reason for e in self.latency) or "it was not measured"
        return found


class CompareReport(BaseModel, HasPage):
    """The first side is what the others are held against, unless variants pair by their names."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    edgekit: str
    created: str
    sides: tuple[SideRecord, ...]
    pairs: tuple[PairRecord, ...]
    unpaired: tuple[str, ...]
    """Variants that one of the builds alone has."""

    @property
    def doubts(self) -> dict[str, str]:
        """The letters of the sides that each doubt is about, by its words."""
        found: dict[str, list[str]] = {}
        for side in self.sides:
            for doubt in side.doubts:
                found.setdefault(doubt, []).append(side.letter)
        return {doubt: ", ".join(letters) for doubt, letters in found.items()}
