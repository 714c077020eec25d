"""The choice among the variants of a target: the fastest that passed, from one interleaved run; of
those that it cannot tell from the fastest, the one whose scores are the clearest."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Artifact, Json, Metadata
from edgekit.evaluation.measure import PROCESSES, Host, agent_digest
from edgekit.evaluation.metrics import (
    ratio_of,
    unless_disturbed,
)
from edgekit.evaluation.timing import Machine, Timing
from edgekit.evaluation.validate import candidate
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement

CHOICE = "choice.json"
CLEARER_DB = 1.0
"""So much clearer must the scores of another be that it is taken for the fastest."""
TIED = 1.05
"""Of the fastest one's latency: more is given up for no clarity, however wide the interval."""


class Clarity(NamedTuple):
    """What is known of a variant's scores."""

    sqnr_db: float
    """Against the float model's, on the same images, by exact sums."""
    precision: str
    may_saturate: bool = False
    """Its sums may saturate on the target, which `sqnr_db` does not show."""


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
    """Of those that latency cannot tell from the fastest, one whose scores have less noise."""

    @property
    def chosen(self) -> str:
        return self.clearest or self.fastest

    def by_clarity(self, known: dict[str, Clarity]) -> Choice:
        """The same, where latency cannot tell, by the scores of what has the fastest one's
        precision and does not saturate.

        Args:
            known: of each variant.
        """
        first = known[self.fastest]
        tied = [
            name
            for name, ratio in self.ratios.items()
            if _is_tied(ratio)
            and known[name].precision == first.precision
            and not known[name].may_saturate
        ]
        best = max(tied, key=lambda name: known[name].sqnr_db, default=self.fastest)
        clearer = known[best].sqnr_db >= first.sqnr_db + CLEARER_DB
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
            else f"its latency cannot be told from {self.fastest}'s, and its scores are nearer to "
            "float's"
            if self.clearest
            else "the intervals cannot tell it from the next"
        )

    def told(self, evidence: str) -> str:
        """The choice, its doubt, and the ratios that it was made by as far as they are believed."""
        by = "" if self.clearest else ", by latency"
        doubt = f" ({self.doubt})" if self.doubt else ""
        known = {n: r.value for n, r in self.ratios.items() if isinstance(r, Measurement)}
        ratios = ", ".join(f"{name} {value:.2f}" for name, value in known.items())
        run = f"; in one interleaved run: {ratios}" if ratios else ""
        return f"The choice{by} ({evidence}): {self.chosen}{doubt}{run}"


def _is_tied(ratio: Measurement | InvalidMeasurement) -> bool:
    """Its interval includes 1, and is not merely wide."""
    if not isinstance(ratio, Measurement) or ratio.low is None:
        return False
    return ratio.low <= 1 and ratio.value <= TIED


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
        self.machine = machine or Host(device, processes=PROCESSES)

    @property
    def times(self) -> bool:
        return isinstance(self.machine, Host)

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
    disturbed = any(timing.disturbed for timing in timings.values())
    return Choice(
        fastest=order[0],
        certain=not disturbed and all(low > 1 for low in others),
        ratios={name: unless_disturbed(ratio, disturbed) for name, ratio in ratios.items()},
    )


def read_choice(artifact: Artifact) -> Choice:
    artifact.verify()
    return artifact.read(CHOICE, Choice)
