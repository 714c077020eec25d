"""Gates: limits on measurements. Deciding only; who measured and who stops is elsewhere."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from edgekit.evidence import Measurement


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

    def stricter(self, other: Gates) -> Gates:
        """Both sets of limits; where both name one, the stricter holds."""
        merged: dict[str, Any] = {}
        for name in type(self).model_fields:
            values = [v for v in (getattr(self, name), getattr(other, name)) if v is not None]
            if values:
                merged[name] = max(values) if name.startswith("min_") else min(values)
        return Gates(**merged)


class GateResult(BaseModel):
    """One gate, the figure it was held against, and what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: str
    limit: float
    figure: Measurement | None
    passed: bool
    certain: bool
    """The whole interval is on the figure's side of the limit."""

    def __str__(self) -> str:
        if self.figure is None:
            return (
                f"{self.gate}: nothing was measured to hold against the limit {self.limit:g}, or "
                "the machine was too busy to measure it"
            )
        figure = self.figure
        width = "" if figure.low is None else f" ({figure.low:.2f} to {figure.high:.2f})"
        word = "held" if self.passed else "broken"
        unit = "" if figure.unit == "ratio" else f" {figure.unit}"
        return f"{self.gate} {word}: {self._figure}{unit}{width}, limit {self.limit:g}{unit}"

    @property
    def _figure(self) -> str:
        """As many digits as it takes to tell the figure from the limit."""
        assert self.figure is not None
        texts = (f"{self.figure.value:.{digits}g}" for digits in range(3, 17))
        return next((t for t in texts if float(t) != self.limit), f"{self.figure.value:g}")


FIRST_TO_LAST = ("max_accuracy_drop", "min_agreement")
"""Gates that every stage after the float reference must hold; the others bind the last one."""


def judge(gates: Gates, figures: dict[str, Measurement | None], last: bool) -> list[GateResult]:
    """Hold measured figures, by gate name, against the limits.

    A figure on the limit passes. A figure that is missing does not: a gate on something that
    was not measured is an error, never a pass.
    """
    results = []
    for gate, limit in gates.model_dump(exclude_none=True).items():
        if gate not in FIRST_TO_LAST and not last:
            continue
        figure = figures.get(gate)
        if figure is None:
            results.append(
                GateResult(gate=gate, limit=limit, figure=None, passed=False, certain=True)
            )
            continue
        sign = -1 if gate.startswith("min_") else 1
        ends = [figure.value if e is None else e for e in (figure.low, figure.high)]
        passed = sign * figure.value <= sign * limit
        sides = {sign * end <= sign * limit for end in ends}
        results.append(
            GateResult(
                gate=gate, limit=limit, figure=figure, passed=passed, certain=sides == {passed}
            )
        )
    return results
