"""What a pruned network says of itself: what was cut, what was promised and what came of it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.evidence import Evidence, InvalidMeasurement, Measurement, believed, interval

KernelPrecision = Literal["int8", "float32"]
Budget = Literal["latency", "macs", "parameters", "size"]


class GroupCut(BaseModel):
    """Channels, or heads of an attention, that were cut together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The layer that makes them."""
    layers: int
    before: int
    after: int


class PruningGain(BaseModel):
    """A pruned network against the dense one, both compiled for a runtime."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency: Measurement | InvalidMeasurement
    """Ratio to the dense network's; invalid where the machine was busy."""
    size: float
    """Ratio of the files' bytes."""
    disturbed: bool
    """The machine was busy while it was timed."""

    def shown(self, by: str) -> float | None:
        """What the runtime shows to be left of a budget's measure; None for those it does not,
        and for a latency that is not to be believed."""
        if by == "size":
            return self.size
        latency = believed(self.latency)
        return latency.value if by == "latency" and latency else None


class Pruned(BaseModel):
    """A cut, from the dense network to the pruned one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Budget
    keep: float
    runtime: str
    precision: KernelPrecision
    importance: str
    round_to: int
    groups: tuple[GroupCut, ...]
    predicted: float
    """What the planner expected of the measure that the budget is in, as a share."""
    macs: tuple[int, int]
    """Before and after."""
    parameters: tuple[int, int]
    trial: PruningGain
    machine: str = "the build machine"
    """What the layers and the networks were timed on: this one, or a device of the inventory."""
    threads: int = 1
    table: dict[str, int] | None
    """Of the latency table: layers, rounds, probes that were disturbed; None for other budgets."""
    forced: bool
    """Kept although it bought no time."""

    @property
    def changed(self) -> tuple[GroupCut, ...]:
        return tuple(group for group in self.groups if group.after < group.before)

    @property
    def remark(self) -> str | None:
        """What was asked and what came out, where the runtime shows more left than asked; and that
        no board has shown a gain, where an estimate is all there is."""
        told = self._shortfall, self._unproven
        return "; ".join(filter(None, told)) or None

    @property
    def _unproven(self) -> str | None:
        latency = believed(self.trial.latency)
        if latency is None or latency.evidence is not Evidence.ESTIMATED:
            return None
        if latency.high is not None and latency.high < 1:
            return None
        return f"the gain is estimated ({interval(latency, 2)} times): no board has shown it"

    @property
    def _shortfall(self) -> str | None:
        shown = self.trial.shown(self.by)
        if shown is None or shown <= self.keep:
            return None
        return (
            f"keep asked for {100 * self.keep:g} % of the {self.by}; {self.precision} on "
            f"{self.runtime} shows {100 * shown:.1f} % after the deepest cut that was tried"
        )
