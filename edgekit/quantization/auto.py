"""`method: auto`: from the cheapest configuration to mixed precision, until one holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgekit.errors import Unsupported
from edgekit.quantization.float_budget import return_to_float
from edgekit.quantization.mixed_precision import MixedPrecisionSearch
from edgekit.quantization.ptq_search import offers_wide, search
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes.contract.compiled_metadata import (
    MixedPrecision,
    Search,
    TrialResult,
    Tried,
)
from edgekit.runtimes.contract.settings import Quantization

HALF_THE_NOISE_DB = 3.0


@dataclass(frozen=True, kw_only=True)
class AutoResult:
    """The configuration that is chosen, and how it was found."""

    config: QuantizationConfig
    search: Search
    mixed: MixedPrecision | None = None
    """None where no operators were returned to float."""


@dataclass(frozen=True, kw_only=True)
class AutoSearch:
    """The whole of `method: auto`, in six phases; each begins where the one before falls short.

    1. Configurations: ranges, then corrections, with all in int8 but what a rule keeps in float.
    2. Float operators: the fewest with which the best of them holds.
    3. Ranges anew, with all operators in float that phase 2 tried.
    4. Float operators anew, with these ranges and beginning with these operators.
    5. Choose between the results of phases 2 and 4.
    6. Tell the cause: the best of phase 1 with 16-bit activations, which is not shipped.

    Ranges are searched anew since phase 1 judged them by the scores of a network that some
    operators had broken: the best of noise is an accident. Once what broke it is in float, the
    scores tell ranges apart. Corrections are not searched anew: they make another float file, in
    which operators may have other names. All that was tried is in float in phase 3, also what
    phase 2 then did without, for the clearest view; phase 4 takes back what is not needed.
    """

    trials: QuantizationTrials
    asked: StopCriterion
    """What the judged images must show for it to end."""
    max_float_macs: float
    """Share of the multiply-accumulates that may run in float, from 0 to 1."""
    mixes: bool = True
    """Whether phases 2 to 5 may return operators to float."""
    ranges_alone: bool = False
    """Nothing but ranges is searched: no corrections, nor phases 2 to 6."""

    def run(self, quantization: Quantization) -> AutoResult:
        """Search.

        Args:
            quantization: what holds for every configuration, such as operators that a rule keeps
                in float.

        Raises:
            Unsupported: no configuration of phase 1 gives scores.
        """
        fixed = () if self.ranges_alone else None
        config, record = search(self.trials, quantization, self.asked, fixed)
        first = AutoResult(config=config, search=record)
        if self.ranges_alone or not self.falls_short(record):
            return first
        found = self.with_float_ops(first) if self.mixes else first
        holds = found.mixed is not None and found.mixed.reached
        return found if holds else self._with_cause(found, first)

    def falls_short(self, record: Search) -> bool:
        """Whether the best of phase 1 does not hold what was asked."""
        return not self.asked.holds(record.best.trial)

    def with_float_ops(self, first: AutoResult) -> AutoResult:
        """Phases 2 to 5, from what phase 1 found."""
        config, mixed = MixedPrecisionSearch(
            self.trials, first.config, self.asked, self.max_float_macs
        ).run()
        second = replace(first, config=config, mixed=mixed)
        if not mixed or mixed.reached or not mixed.tried:
            return second
        try:
            fourth = self._ranges_anew(first, mixed)
        except Unsupported:  # with all of them in float no file can be made
            return second
        return fourth if self._is_better(fourth, second) else second

    def _ranges_anew(self, first: AutoResult, mixed: MixedPrecision) -> AutoResult:
        """Phases 3 and 4.

        Raises:
            Unsupported: no configuration with these operators in float gives scores.
        """
        rule = first.config.quantization.float_ops
        names = tuple(each.operator for each in mixed.tried)
        in_float = return_to_float(self.trials, first.config, names)
        config, ranges = search(
            self.trials, in_float.quantization, self.asked, first.config.corrections
        )
        config, again = MixedPrecisionSearch(
            self.trials, config.keep_in_float(rule), self.asked, self.max_float_macs, mixed.tried
        ).run()
        return AutoResult(config=config, search=first.search.then(ranges), mixed=again)

    def _with_cause(self, found: AutoResult, first: AutoResult) -> AutoResult:
        """Phase 6; the range that was seen is enough where codes are so many."""
        runtime, plain = self.trials.runtime, first.config.quantization
        if not offers_wide(runtime, plain.quantizer):
            return found
        update = {"precision": "int16x8", "calibration": "minmax"}
        config = first.config.model_copy(update={"quantization": plain.model_copy(update=update)})
        self.trials.purpose = f"trying {config.label} to tell why nothing holds {self.asked}"
        trial = self.trials.try_out(config)
        row = Tried(way=f"{config.label}: to tell the cause, not to ship", trial=trial)
        cause = cause_of(first.search.best.trial, trial, self.asked)
        return replace(found, search=found.search.with_cause(row, cause))

    def _is_better(self, fourth: AutoResult, second: AutoResult) -> bool:
        """Phase 5: what holds `asked` is better than what is clearer."""
        before = self.trials.try_out(second.config).sqnr_db
        after = self.trials.try_out(fourth.config).sqnr_db
        if fourth.mixed is None or after is None:
            return False
        return fourth.mixed.reached or before is None or after >= before


def cause_of(int8: TrialResult, wide: TrialResult, asked: StopCriterion) -> str:
    """What the same weights with 16-bit activations tell of why int8 does not hold what was asked.

    >>> int8 = TrialResult(sqnr_db=8.0, images=200, agreement=80.0)
    >>> wide = TrialResult(sqnr_db=30.0, images=200, agreement=99.5)
    >>> cause_of(int8, wide, StopCriterion())
    'with 16-bit activations it holds (99.5 % agree, drop 0 points): int8 fails by its activations'
    """
    if asked.holds(wide):
        return f"with 16-bit activations it holds ({wide}): int8 fails by its activations"
    if wide.sqnr_db is None:
        return f"16-bit activations do not tell why: {wide}"
    gain = wide.sqnr_db - (int8.sqnr_db or 0.0)
    by = "activations and weights" if gain >= HALF_THE_NOISE_DB else "weights"
    return f"with 16-bit activations neither ({wide}): int8 fails by its {by}"
