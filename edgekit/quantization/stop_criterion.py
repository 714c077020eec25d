"""When a search for int8 ends: what the images that judge its trials must show."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.runtimes.contract.compiled_metadata import TrialResult

AGREEMENT = 98.5
"""Percent, where nothing else is asked: of 200 images three may change their class."""


@dataclass(frozen=True)
class StopCriterion:
    """What a trial must hold.

    Both are needed. The drop alone would end a search by luck: where 5 % of 200 images change their
    class, as many are often won as lost. Agreement alone does not see that all of them are lost.
    """

    agreement: float = AGREEMENT
    """Percent of the images on which int8 must name the float model's class."""
    max_drop: float | None = None
    """Points of top-1 that may be lost on them; None: no significant loss (McNemar's exact test,
    one-sided, 5 %)."""

    def holds(self, trial: TrialResult) -> bool:
        """Whether the search may end with it."""
        if trial.agreement is None or trial.agreement < self.agreement:
            return False
        return not trial.loses if self.max_drop is None else (trial.drop or 0) <= self.max_drop

    def __str__(self) -> str:
        """
        >>> print(StopCriterion(max_drop=1.0), StopCriterion(), sep=", ")
        98.5 % agreement and at most 1 point lost, 98.5 % agreement and no significant loss
        """
        drop, most = "no significant loss", self.max_drop
        if most is not None:
            drop = f"at most {most:g} point{'s' * (most != 1)} lost"
        return f"{self.agreement:g} % agreement and {drop}"
