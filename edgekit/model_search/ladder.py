"""A candidate on the ladder of rungs, as far as it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.evaluation.gates import GateVerdict
from edgekit.evidence import believed
from edgekit.model_search.built import attempt
from edgekit.model_search.evaluate import Lab, Trained, judge_free, judge_full, judge_short
from edgekit.model_search.expected_gain import Bounds
from edgekit.model_search.front import misses, verdicts
from edgekit.model_search.limits import FREE_FIGURES, Limit
from edgekit.model_search.report import CandidateRecord
from edgekit.model_search.rungs import Rung
from edgekit.model_search.space import Vary
from edgekit.model_search.study import Outcome
from edgekit.stages.prune import Prune


@dataclass(frozen=True)
class Ladder:
    lab: Lab
    vary: Vary
    limits: Sequence[Limit]

    def free_and_short(self, record: CandidateRecord, is_over: Callable[[], bool]) -> bool:
        """
        Args:
            is_over: whether it is too late to train it.

        Returns:
            whether it was judged: it is trained, breaks a limit before, or fails.
        """
        self._attempt(record, lambda r: self._free_and_short(r, is_over))
        return record.rung is Rung.SHORT or bool(record.dropped)

    def full(self, record: CandidateRecord) -> Trained | None:
        """None where it fails."""
        record.rung = Rung.FULL
        found = self._attempt(record, lambda r: judge_full(self.lab, self.vary(r.settings), r))
        if found:
            record.verdicts = verdicts(record, self.limits)
            record.dropped = self._broken(record, Rung.FULL)
        return found

    @property
    def bounds(self) -> Bounds:
        """The limits that a candidate can be held to before it has learned what the recipe asks."""
        bounds = {limit.figure: limit.bound for limit in self.limits}
        return Bounds(bounds.get("latency", math.inf), bounds.get("size", math.inf))

    def outcome(self, record: CandidateRecord) -> Outcome:
        """What the study is told."""
        latency = believed(record.latency)
        return Outcome(
            accuracy=record.top1.value if record.top1 else None,
            latency=latency.value if latency else None,
            size=record.size.value if record.size else None,
            failed=bool(record.exit_code),
        )

    def _free_and_short(
        self, record: CandidateRecord, is_over: Callable[[], bool]
    ) -> Trained | None:
        recipe = self.vary(record.settings)
        judge_free(self.lab, recipe, record)
        record.verdicts = verdicts(record, self.limits, FREE_FIGURES)
        # Cut by operations in place of milliseconds, it is another network than the trained one.
        if not any(isinstance(s, Prune) and s.by == "latency" for s in recipe.stages):
            record.dropped = self._broken(record, Rung.FREE)
        if record.dropped or is_over():
            return None
        record.rung = Rung.SHORT
        found = judge_short(self.lab, recipe, record)
        record.verdicts = verdicts(record, self.limits, FREE_FIGURES)
        record.dropped = self._broken(record, Rung.SHORT)
        return found

    def _broken(self, record: CandidateRecord, rung: Rung) -> str:
        """The limits that it surely breaks, and by how much; empty where it breaks none."""
        told = [x for x in self.limits if record.verdicts.get(str(x)) is GateVerdict.BROKEN]
        broken = misses(record, told)
        return f"{rung}: breaks {', '.join(broken)}" if broken else ""

    def _attempt(
        self, record: CandidateRecord, work: Callable[[CandidateRecord], Trained | None]
    ) -> Trained | None:
        """What fails is told in the record; what is the machine's ends the search."""
        found = attempt(record, lambda: work(record))
        if record.reason:
            record.dropped = f"{record.rung}: {record.reason}"
        return found
