"""A candidate on the ladder of rungs, as far as it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.evaluation.gates import GateVerdict
from edgekit.evidence import believed
from edgekit.model_search.built import attempt
from edgekit.model_search.evaluate import Lab, Trained, judge_free, judge_full, judge_short
from edgekit.model_search.front import excess, misses, verdicts
from edgekit.model_search.limits import FREE_FIGURES, Limit
from edgekit.model_search.report import CandidateRecord
from edgekit.model_search.rungs import Rung
from edgekit.model_search.space import Vary
from edgekit.model_search.study import Told
from edgekit.stages.prune import Prune


@dataclass(frozen=True)
class Ladder:
    lab: Lab
    vary: Vary
    limits: Sequence[Limit]

    def free_and_short(self, record: CandidateRecord) -> Trained | None:
        """None where it breaks a limit before it is trained, or fails."""
        return self._attempt(record, self._free_and_short)

    def full(self, record: CandidateRecord) -> Trained | None:
        """None where it fails."""
        record.rung = Rung.FULL
        found = self._attempt(record, lambda r: judge_full(self.lab, self.vary(r.settings), r))
        if found:
            record.verdicts = verdicts(record, self.limits)
            record.dropped = self._broken(record, Rung.FULL)
        return found

    def told(self, record: CandidateRecord) -> Told:
        """What the study is told."""
        latency = believed(record.latency)
        beyond = sum(excess(record, self.limits).values()) if record.size else 0.0
        return Told(
            accuracy=record.top1.value if record.top1 else None,
            latency=latency.value if latency else None,
            size=record.size.value if record.size else None,
            excess=beyond + (1.0 if record.exit_code else 0.0),
        )

    def _free_and_short(self, record: CandidateRecord) -> Trained | None:
        recipe = self.vary(record.settings)
        judge_free(self.lab, recipe, record)
        record.verdicts = verdicts(record, self.limits, FREE_FIGURES)
        # Cut by operations in place of milliseconds, it is another network than the trained one.
        if not any(isinstance(s, Prune) and s.by == "latency" for s in recipe.stages):
            record.dropped = self._broken(record, Rung.FREE)
        if record.dropped:
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
