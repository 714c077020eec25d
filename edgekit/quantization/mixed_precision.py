"""Mixed precision: the fewest operators in float with which int8 holds what is requested."""

from __future__ import annotations

import math
from collections.abc import Callable

from edgekit.errors import DeviceError, Unsupported
from edgekit.evaluation.latency_ratio import median_ratio
from edgekit.evaluation.measure import measure, undisturbed
from edgekit.evaluation.timing import Candidate
from edgekit.inspection.layerwise import inspect_files
from edgekit.inspection.tensor_report import Inspection, TensorReport
from edgekit.quantization.float_budget import FloatBudget
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes.contract.compiled_metadata import FloatOp, MixedPrecision, MixedPrecisionStep

MARGIN_DB = 1.0
"""Where not enough is reached, fewer operators are preferred that are no worse than this."""
INSPECTED_IMAGES = 32
INT8, BEST = "int8", "best"
"""The two files that are timed: none in float, and the one that is chosen."""


class MixedPrecisionSearch:
    """A search in five phases.

    1. Inspect: compare the int8 file with its float twin, tensor by tensor. The operators that
       are still in int8 are ranked: those that fail first, then by the scores' noise that arose at
       each.
    2. Grow: return the first of the ranking to float, all that fail or else as many as are there
       already, and inspect again, until `asked` holds or nothing more may go to float.
    3. Halve: of that order, find the shortest beginning that holds.
    4. Drop: try each of those left in int8 again, and leave it there where the rest holds.
    5. Time: measure the chosen file against the one with none in float.

    Growing inspects anew each time since noise hides what comes after it: of an operator whose
    input is noise already, nobody can say what it does itself. It doubles so that many operators
    take few inspections, which are the dear part; halving takes back what the last doubling
    overshot, for a trial each time, and leaves fewer to drop, which takes a trial an operator. Drop
    comes after halving because the ranking is by noise, not by need: an operator early in it may
    have been passed the noise of a later one. It begins with the last, of which least is known to
    be needed. What operators cost is measured at the end, on the two files that matter: share of
    multiply-accumulates does not tell the time of conversions between int8 and float.

    Args:
        config: the best with everything in int8 but what it keeps in float; it does not hold.
        asked: what the judged images must show.
        max_float_macs: share of the multiply-accumulates that may run in float, from 0 to 1.
        warm_start: what an earlier search, with other ranges, returned to float. This one begins
            with them, and is the last: what does not hold `asked` is cut down all the same.
    """

    def __init__(
        self,
        trials: QuantizationTrials,
        config: QuantizationConfig,
        asked: StopCriterion,
        max_float_macs: float,
        warm_start: tuple[FloatOp, ...] = (),
    ) -> None:
        self.trials = trials
        self.config = config
        self.asked = asked
        self.budget = FloatBudget(trials, config, max_float_macs)
        self.is_last = bool(warm_start)
        self.suspects = {each.operator: each for each in warm_start}
        """Operators, by what was last seen of each while it was in int8."""
        self.ranking: list[str] = []
        """Operators in int8 as the last inspection ranked them."""
        self.order = tuple(self.suspects)
        """Operators that were returned to float, the first one first."""
        self.too_few = 0
        """So many of `order`, from its beginning, do not hold."""
        self.steps: dict[frozenset[str], MixedPrecisionStep] = {}

    def run(self) -> tuple[QuantizationConfig, MixedPrecision | None]:
        """Search.

        Returns:
            the configuration with the fewest operators in float, and what was seen; the given one
            and None where the int8 file stops while it is inspected.
        """
        try:
            self._grow()
        except (DeviceError, Unsupported):
            return self.config, None
        tried = self._seen_of(self.order)
        best = self._time(self._fewest())
        reached = self._holds(best)  # fewer may, where with other ranges more did not
        return self.budget.with_float(best.operators), MixedPrecision(
            stop_at=self.asked.agreement,
            reached=reached,
            tried=tried,
            curve=tuple(sorted(self.steps.values(), key=lambda step: len(step.operators))),
            kept=self._seen_of(best.operators),
            ended=f"{len(best.operators)} operators in float hold what was asked: {self.asked}"
            if reached
            else f"{len(self.order)} operators in float do not hold {self.asked}: the fewest that "
            "do as well are kept",
        )

    def _inspect(self) -> int:
        """Phase 1: rank what is in int8 while `order` is in float; how many of it fail."""
        compressed = self.trials.keep(self.budget.with_float(self.order))
        self.trials.progress(0, 1, "comparing it with the float file")
        inspection = inspect_files(
            self.trials.runtime,
            self.trials.float_file(self.config.corrections),
            self.trials.calibrated_form,
            compressed,
            self.trials.calibrated_form,
            self.trials.judged[:INSPECTED_IMAGES],
        )
        failing = dict.fromkeys(_failing(inspection))
        noise: dict[str, float] = {}
        for tensor in inspection.tensors:
            noise[tensor.operator] = noise.get(tensor.operator, 0.0) + tensor.share_added
        noisy = sorted((name for name in noise if noise[name] > 0), key=lambda name: -noise[name])
        kinds = {tensor.operator: tensor.kind for tensor in inspection.tensors}
        self.ranking = self.budget.available(dict.fromkeys((*failing, *noisy)), self.order)
        for name in self.ranking:
            self.suspects[name] = FloatOp(
                operator=name, kind=kinds[name], arose=noise[name], wrong=name in failing
            )
        return sum(name in failing for name in self.ranking)

    def _grow(self) -> None:
        """Phase 2.

        Raises:
            DeviceError, Unsupported: not even the first file can be inspected.
        """
        self._step(())  # the first step of the curve, to which the chosen one is compared
        while not self._holds(self._step(self.order)):
            longer = self.budget.extended(self.order, self._next_operators())
            self.too_few = len(self.order)
            if len(longer) == self.too_few:
                return
            self.order = longer

    def _next_operators(self) -> list[str]:
        failing = 0
        try:
            # A set with which no file can be made is passed by the ranking before: with more in
            # float there may be one.
            if not self.ranking or self._step(self.order).trial.sqnr_db is not None:
                failing = self._inspect()
        except (DeviceError, Unsupported):
            if not self.ranking:
                raise
        ranked = self.budget.available(self.ranking, self.order)
        return ranked[: failing or max(1, len(self.order))]

    def _fewest(self) -> MixedPrecisionStep:
        """Phases 3 and 4; where nothing holds, there is nothing to halve."""
        if self._holds(self._step(self.order)):
            return self._drop(self._halve(), self._holds)
        floor = max(_sqnr_db(step) for step in self.steps.values()) - MARGIN_DB
        good = (step for step in self.steps.values() if _sqnr_db(step) >= floor)
        best = min(good, key=lambda step: len(step.operators))
        if not self.is_last:  # ranges are searched anew first, with all of `tried` in float
            return best
        floor = _sqnr_db(best) - MARGIN_DB
        return self._drop(best.operators, lambda step: _sqnr_db(step) >= floor)

    def _halve(self) -> tuple[str, ...]:
        """Phase 3: between a beginning that does not hold and the whole, which does."""
        enough = len(self.order)
        while enough - self.too_few > 1:
            middle = (self.too_few + enough) // 2
            if self._holds(self._step(self.order[:middle])):
                enough = middle
            else:
                self.too_few = middle
        return self.order[:enough]

    def _drop(
        self, operators: tuple[str, ...], holds: Callable[[MixedPrecisionStep], bool]
    ) -> MixedPrecisionStep:
        """Phase 4; what comes of it without each of those that stay is noted with them."""
        left = operators
        for name in reversed(operators):
            fewer = self._step(tuple(other for other in left if other != name))
            if holds(fewer):
                left = fewer.operators
            else:
                update = {"back_in_int8": fewer.trial}
                self.suspects[name] = self.suspects[name].model_copy(update=update)
        return self._step(left)

    def _time(self, best: MixedPrecisionStep) -> MixedPrecisionStep:
        """Phase 5: the step with its latency, where both files run and the machine was quiet."""
        before = self._step(())
        if not best.operators or None in (before.trial.sqnr_db, best.trial.sqnr_db):
            return best
        candidates = [
            Candidate(
                name,
                self.trials.runtime.name,
                self.trials.keep(self.budget.with_float(step.operators)),
                self.trials.calibrated_form,
            )
            for name, step in ((INT8, before), (BEST, best))
        ]
        self.trials.purpose = "timing what the operators in float cost"
        judged, progress = self.trials.judged_file, self.trials.progress
        timed = undisturbed(lambda: measure(candidates, judged, progress, processes=1))
        if timed.disturbed:
            return best
        timings = timed.timings
        ratio, _ = median_ratio(timings[BEST].medians, timings[INT8].medians)
        step = best.model_copy(update={"latency_ratio": round(ratio, 3)})
        self.steps[frozenset(best.operators)] = step
        return step

    def _step(self, operators: tuple[str, ...]) -> MixedPrecisionStep:
        """What comes of these operators in float; a set is tried once, in whatever order."""
        key = frozenset(operators)
        if key not in self.steps:
            count = len(operators)
            self.trials.purpose = (
                f"trying {count} operators in float, as nothing all in int8 holds {self.asked}"
            )
            trial = self.trials.try_out(self.budget.with_float(operators))
            self.steps[key] = MixedPrecisionStep(
                operators=operators, float_macs=self.budget.share(operators), trial=trial
            )
        return self.steps[key]

    def _holds(self, step: MixedPrecisionStep) -> bool:
        return self.asked.holds(step.trial)

    def _seen_of(self, operators: tuple[str, ...]) -> tuple[FloatOp, ...]:
        return tuple(self.suspects[name] for name in operators)


def _failing(inspection: Inspection) -> list[str]:
    """Operators that go wrong, and those that made their inputs: where a division amplifies the
    noise of codes, it is these codes that are at fault."""
    names = []
    for tensor in inspection.tensors if not inspection.is_sound else ():
        if tensor.goes_wrong:
            names += [tensor.operator, *_makers_of_inputs(tensor, inspection)]
    return names


def _makers_of_inputs(tensor: TensorReport, inspection: Inspection) -> list[str]:
    if tensor.cause != "inputs":
        return []
    return [each.operator for each in inspection.tensors if each.name in tensor.inputs]


def _sqnr_db(step: MixedPrecisionStep) -> float:
    """Of the scores; less than any number where the file does not run."""
    return -math.inf if step.trial.sqnr_db is None else step.trial.sqnr_db
