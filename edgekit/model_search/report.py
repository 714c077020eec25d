"""A search as data: every candidate, the front, the one to take and why."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgekit.errors import EdgekitError, GateBroken
from edgekit.evaluation.device_spread import DeviceSpread
from edgekit.evaluation.gates import GateVerdict
from edgekit.evidence import Evidence, interval
from edgekit.model_search.axes import size_of
from edgekit.model_search.points import PointRecord
from edgekit.model_search.rungs import Rung
from edgekit.notebook import HasPage

State = Literal["searching", "out of time", "done"]


class CandidateRecord(PointRecord):
    """A recipe that was compared. Its accuracy is on the held-back images, which chose."""

    rung: Rung = Rung.FREE
    """The last that judged it."""
    verdicts: dict[str, GateVerdict] = Field(default_factory=dict)
    """By limit: of its ordinary build where there is one, else of the held-back images."""
    dropped: str = ""
    """Why it went no further, at which rung."""
    confirmed: PointRecord | None = None
    """Its ordinary build, judged on images that chose nothing; of the front alone."""
    recipe: dict[str, Any] | None = None
    """The recipe that goes on from its weights."""


def store_words(store: Path | None) -> str:
    """What a command needs in order to find a store that was named."""
    return f" --store {shlex.quote(str(store))}" if store else ""


class SearchReport(BaseModel, HasPage):
    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    edgekit: str
    created: str
    name: str
    """By which `edgekit search show` finds it."""
    key: str
    """Digest of what was searched and how."""
    recipe: str
    target: str
    state: State = "searching"
    axes: dict[str, list[Any]]
    left_out: dict[str, str] = {}
    """Values that could not be tried, each with the reason."""
    limits: list[str]
    latency_is: str
    """What latencies are."""
    why_no_ms: str = ""
    unit: str
    """Of latencies: ms or x."""
    spread: DeviceSpread | None = None
    """Of the devices that shared the timing, on the first file."""
    held_back: int | None = None
    """Images that chose."""
    judged: int | None = None
    """Images that chose nothing, on which the front was judged in the end."""
    candidates: list[CandidateRecord] = []
    front: list[str] = []
    """Names of those that no other dominates, the most accurate first."""
    alike: list[str] = []
    """Neighbours of the front that their figures cannot tell apart."""
    recommended: str | None = None
    why: str = ""
    trades: list[str] = []
    """What a step along the front costs."""
    effects: list[str] = []
    """What each field does by itself, after short trainings."""
    failure: str = ""
    """Why nothing can be recommended."""

    def candidate(self, name: str) -> CandidateRecord:
        """
        Raises:
            KeyError: there is none of that name.
        """
        found = {one.name: one for one in self.candidates}
        return found[name]

    @property
    def not_tried(self) -> dict[str, str]:
        """By the reason, the names of all that were not tried for it."""
        reasons = dict.fromkeys(self.left_out.values())
        return {
            why: ", ".join(name for name, own in self.left_out.items() if own == why)
            for why in reasons
        }

    @property
    def chosen(self) -> CandidateRecord | None:
        return self.candidate(self.recommended) if self.recommended else None

    @property
    def sentence(self) -> str:
        """What to take, for a person."""
        point = self.chosen
        if point is None or self.failure:
            done = f"{len(self.candidates)} compared so far; the same command goes on"
            return self.failure or f"The search has not ended: {done}."
        told = [f"Take {point.title}" + (f" ({point.name})" if point.label else "")]
        built = point.confirmed or point
        figures = [f"{built.variant} {built.precision}"]
        if built.size:
            figures.append(f"{built.size.value:.2f} MB")
        if built.latency:
            evidence = ", estimated" if built.latency.evidence is Evidence.ESTIMATED else ""
            figures.append(f"latency {interval(built.latency, 2)} {self.unit}{evidence}")
        if built.drop:
            figures.append(f"drop {interval(built.drop)} points against its own float")
        told.append(f"{', '.join(figures)}. {self.why[:1].upper()}{self.why[1:]}.")
        return " ".join(filter(None, (": ".join(told), self.confirmation, self._early)))

    @property
    def _early(self) -> str:
        """That not all was compared; mostly empty."""
        if self.state != "out of time":
            return ""
        return (
            f"The time was over with {len(self.candidates)} of {size_of(self.axes)} candidates "
            "compared; the same command goes on."
        )

    @property
    def confirmation(self) -> str:
        """What its figures are on images that chose nothing."""
        point = self.chosen
        if point is None or point.confirmed is None or point.top1 is None:
            return ""
        found = point.confirmed
        if found.top1 is None:
            return f"Its build failed: {found.reason}."
        return (
            f"On {found.top1.samples} images that chose nothing it is right for "
            f"{interval(found.top1)} %; on the {point.top1.samples} held-back images, which chose "
            f"it among {len(self.candidates)} candidates, it was for {interval(point.top1)} %: "
            "believe the first."
        )

    def check(self, store: Path | None = None) -> None:
        """
        Args:
            store: that was named, for the command of the hint.

        Raises:
            GateBroken: nothing holds the limits, or what was chosen does not in the end.
            EdgekitError: no candidate could be built, with the exit code of the first.
        """
        if not self.failure:
            return
        error: EdgekitError = GateBroken(
            self.failure, hint=f"edgekit search show {self.name}{store_words(store)}"
        )
        built = self.chosen.confirmed if self.chosen else None
        if built and built.exit_code:
            error.exit_code = built.exit_code
        elif self.candidates and all(one.exit_code for one in self.candidates):
            error.exit_code = self.candidates[0].exit_code
        raise error
