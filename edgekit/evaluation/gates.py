"""Gates: limits on measurements. Deciding only; who measured and who stops is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgekit.evidence import (
    FEW_IMAGES,
    Evidence,
    InvalidMeasurement,
    Measurement,
    believed,
    in_images,
)


class Gates(BaseModel):
    """Limits a recipe or a target sets. What is not named is not limited."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    max_accuracy_drop: float | None = Field(None, ge=0)
    """Points of top-1 lost against the float model, on the same images. Every stage."""
    min_agreement: float | None = Field(None, ge=1, le=100)
    """Percent, e.g. 97, of images on which top-1 is the float model's. Every stage."""
    max_size_mb: float | None = Field(None, gt=0)
    """Megabytes (10^6 bytes) of the shipped file. Last stage."""
    max_size_ratio: float | None = Field(None, gt=0)
    """Size of the shipped file against the float model's on the same runtime. Last stage."""
    max_latency_ratio: float | None = Field(None, gt=0)
    """Median latency against the float model's on the same runtime and threads. Last stage."""
    max_latency_ms: float | None = Field(None, gt=0)
    """Median milliseconds on the target's own device. Last stage."""

    when_uncertain: Literal["pass", "fail"] = "pass"
    """What comes of a figure whose 95 % interval reaches both sides of its limit."""
    evidence: Literal["host", "estimated"] = "host"
    """What max_latency_ratio is held against without a device: this machine's ratio, or the one
    that is estimated for the target's core, whose whole interval must then hold the limit."""

    @property
    def limits(self) -> dict[str, float]:
        """What is limited, by its gate's name."""
        settings = {"when_uncertain", "evidence"}
        limits: dict[str, float] = self.model_dump(exclude_none=True, exclude=settings)
        return limits

    def stricter(self, other: Gates) -> Gates:
        """Both sets of limits; where both name one, the stricter holds."""
        merged: dict[str, Any] = {}
        for name in self.limits | other.limits:
            values = [gates.limits[name] for gates in (self, other) if name in gates.limits]
            merged[name] = max(values) if name.startswith("min_") else min(values)
        fails = "fail" in (self.when_uncertain, other.when_uncertain)
        estimated = "estimated" in (self.evidence, other.evidence)
        return Gates(
            **merged,
            when_uncertain="fail" if fails else "pass",
            evidence="estimated" if estimated else "host",
        )


class GateVerdict(StrEnum):
    """What a figure says of a limit, once its interval is taken into account."""

    HELD = "held"
    """The whole interval is within the limit."""
    BROKEN = "broken"
    """The whole interval is beyond the limit: the build stops."""
    CANNOT_TELL = "cannot tell"
    """The limit lies within the interval: more images or runs would tell."""


def verdict_on(figure: Measurement, limit: float, at_least: bool = False) -> GateVerdict:
    """Hold a figure against a limit: a figure on the limit holds it.

    Args:
        at_least: the limit is the least that is allowed, not the most.
    """
    sign = -1 if at_least else 1
    ends = [figure.value if e is None else e for e in (figure.low, figure.high)]
    # NaN is on neither side, and never holds a limit.
    sides = {sign * end <= sign * limit for end in (figure.value, *ends)}
    if len(sides) > 1:
        return GateVerdict.CANNOT_TELL
    return GateVerdict.HELD if sides == {True} else GateVerdict.BROKEN


def _of_older_record(fields: dict[str, Any]) -> GateVerdict:
    if not fields.get("certain"):
        return GateVerdict.CANNOT_TELL
    return GateVerdict.HELD if fields.get("passed") else GateVerdict.BROKEN


class GateResult(BaseModel):
    """One gate, the figure it was held against, and what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: str
    limit: float
    figure: Measurement | None
    passed: bool
    """Whether the build goes on: where the verdict is "cannot tell", the recipe decides."""
    certain: bool
    """The whole interval is on one side of the limit."""
    verdict: GateVerdict = Field(default_factory=_of_older_record)
    why: str = ""
    """Why there is no figure that can be relied on."""

    def __str__(self) -> str:
        if self.figure is None:
            nothing = f"{self.gate}: nothing was measured to hold against the limit {self.limit:g}"
            return f"{nothing}: {self.why}" if self.why else nothing
        figure = self.figure
        seen = "" if figure.evidence is Evidence.HOST else f"{figure.evidence} "
        unit = "" if figure.unit == "ratio" else f" {figure.unit}"
        ends = "" if figure.low is None else f"{figure.low:.2f} to {figure.high:.2f}"
        width = " (" + " ".join(filter(None, (self.range_words, ends))) + ")" if ends else ""
        told = f"{seen}{self._figure}{unit}{width}"
        line = f"{self.gate} {self.outcome}: {told}, limit {self.limit:g}{unit}"
        return ": ".join(filter(None, (line, self.in_images)))

    @property
    def outcome(self) -> str:
        """The verdict, with what the recipe makes of one that cannot tell."""
        if self.certain:
            return self.verdict
        return f"{self.verdict}, so it {'passes' if self.passed else 'fails'}"

    @property
    def range_words(self) -> str:
        """What the range is, where it is no 95 % interval."""
        is_estimate = bool(self.figure and self.figure.evidence is Evidence.ESTIMATED)
        return "within the model's error" if is_estimate else ""

    @property
    def in_images(self) -> str:
        """The same in images, where they are few or leave it open."""
        few = bool(self.figure and (self.figure.samples or 0) <= FEW_IMAGES)
        open_ = self.verdict is GateVerdict.CANNOT_TELL
        if self.figure is None or not (few or open_):
            return ""
        counted = in_images(self.figure)
        return counted or ("the interval reaches both sides of the limit" if open_ else "")

    @property
    def _figure(self) -> str:
        """As many digits as it takes to tell the figure from the limit."""
        assert self.figure is not None
        texts = (f"{self.figure.value:.{digits}g}" for digits in range(3, 17))
        return next((t for t in texts if float(t) != self.limit), f"{self.figure.value:g}")


FIRST_TO_LAST = ("max_accuracy_drop", "min_agreement")
"""Gates that every stage after the float reference must hold; the others bind the last one."""


def judge(
    gates: Gates,
    figures: Mapping[str, Measurement | InvalidMeasurement | None],
    last: bool,
) -> list[GateResult]:
    """Hold measured figures, by gate name, against the limits.

    A figure that is missing, or not to be believed, does not pass: a gate on something that was
    not measured is an error.
    """
    results = []
    for gate, limit in gates.limits.items():
        if gate not in FIRST_TO_LAST and not last:
            continue
        found = figures.get(gate)
        figure = believed(found)
        verdict = GateVerdict.BROKEN
        if figure is not None:
            verdict = verdict_on(figure, limit, at_least=gate.startswith("min_"))
        uncertain = verdict is GateVerdict.CANNOT_TELL
        passed = gates.when_uncertain == "pass" if uncertain else verdict is GateVerdict.HELD
        if figure is not None and figure.evidence is Evidence.ESTIMATED:
            passed = verdict is GateVerdict.HELD
        results.append(
            GateResult(
                gate=gate,
                limit=limit,
                figure=figure,
                passed=passed,
                certain=not uncertain,
                verdict=verdict,
                why=found.reason if isinstance(found, InvalidMeasurement) else "",
            )
        )
    return results
