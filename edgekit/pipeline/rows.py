"""A line of a target's report: an artifact on a runtime, and the steps that judge it."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.engine.step_id import StepId


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the report: an artifact on a runtime, and the step that validates it."""

    stage: str
    runtime: str
    variant: str
    """Of which the row is a stage; the float rows are shared by all variants of a runtime."""
    model: StepId
    validation: StepId
    baseline: bool
    last: bool
    on_device: StepId | None = None
    """The step that runs it on a device of the user's, if there is one."""

    @property
    def judged(self) -> StepId:
        """The step after which all that is measured of it is there."""
        return self.on_device or self.validation
