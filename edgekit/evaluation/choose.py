"""The choice among the variants of a target: the fastest that passed, from one interleaved run; of
those that it cannot tell from the fastest, the one whose scores are the clearest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Artifact, Json, Metadata
from edgekit.evaluation.measure import (
    Host,
    Machine,
    Timing,
    agent_digest,
)
from edgekit.evaluation.metrics import (
    is_disturbed,
    ratio_of,
    unless_disturbed,
)
from edgekit.evaluation.validate import candidate
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement

CHOICE = "choice.json"
CLEARER_DB = 1.0
"""So much clearer must the scores of another be that it is taken for the fastest."""


class Choice(BaseModel):
    """The variants of a target, fastest first, from one interleaved run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fastest: str
    certain: bool
    """The interval of the ratio to the next one excludes 1."""
    ratios: dict[str, Measurement | InvalidMeasurement]
    """Median latency of each variant against the fastest one's; all are invalid where any variant
    was disturbed."""
    clearest: str | None = None
    """Of those whose interval includes 1, one whose scores have less noise than the fastest's."""

    @property
    def chosen(self) -> str:
        return self.clearest or self.fastest

    def by_clarity(self, sqnr_db: dict[str, float]) -> Choice:
        """The same, where latency cannot tell, by the scores.

        Args:
            sqnr_db: of each variant's scores against the float model's, on the same images.
        """
        tied = [
            name
            for name, ratio in self.ratios.items()
            if isinstance(ratio, Measurement) and ratio.low is not None and ratio.low <= 1
        ]
        best = max(tied, key=lambda name: sqnr_db[name], default=self.fastest)
        clearer = best != self.fastest and sqnr_db[best] >= sqnr_db[self.fastest] + CLEARER_DB
        return self.model_copy(update={"clearest": best if clearer else None})

    @property
    def doubt(self) -> str:
        """What keeps the choice from being certain; empty where it is."""
        if self.certain:
            return ""
        invalid = [r.reason for r in self.ratios.values() if isinstance(r, InvalidMeasurement)]
        return (
            f"the runs tell no order: {invalid[0]}; --force choose measures them again"
            if invalid
            else f"its latency cannot be told from {self.fastest}'s: its scores are clearer"
            if self.clearest
            else "the intervals cannot tell it from the next"
        )


class Choose(Action):
    """Name the fastest of the artifacts that passed: all measured in one interleaved run."""

    version = 3
    libraries = ("numpy", "scipy")

    def __init__(
        self, runtimes: dict[str, str], device: str = "CPU", machine: Machine | None = None
    ) -> None:
        """
        Args:
            runtimes: of each variant.
            machine: this one unless named.
        """
        self.runtimes = runtimes
        self.device = device
        self.machine = machine or Host(device)

    def settings(self) -> Json:
        own = {"runtimes": self.runtimes, "device": self.device, "agent": agent_digest()}
        return {**own, **self.machine.identity()}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        images = inputs["images"].file("images.npy")
        candidates = [
            candidate(name, self.runtimes[name], artifact, self.device)
            for name, artifact in inputs.items()
            if name != "images"
        ]
        timings = self.machine.time(candidates, images, context.progress).timings
        choice = choice_of(timings, self.machine.evidence)
        (into / CHOICE).write_text(choice.model_dump_json(indent=1), encoding="utf-8")
        return Metadata()


def choice_of(timings: dict[str, Timing], evidence: Evidence) -> Choice:
    """The fastest of models that were timed in one interleaved run."""
    order = sorted(timings, key=lambda name: float(np.median(timings[name].medians)))
    best = timings[order[0]]
    ratios = {name: ratio_of(timings[name], best, evidence) for name in order}
    others = [ratios[name].low or 0.0 for name in order[1:]]
    disturbed = any(map(is_disturbed, timings.values()))
    return Choice(
        fastest=order[0],
        certain=not disturbed and all(low > 1 for low in others),
        ratios={name: unless_disturbed(ratio, disturbed) for name, ratio in ratios.items()},
    )


def read_choice(artifact: Artifact) -> Choice:
    artifact.verify()
    return artifact.read(CHOICE, Choice)
