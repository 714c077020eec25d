"""Operators whose int8 form is the slower one go to float, whatever their noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from edgekit.cycle_model.estimated_core import ratio_by
from edgekit.errors import DeviceError, Unsupported
from edgekit.evaluation.measure import HERE, undisturbed
from edgekit.evaluation.metrics import unless_disturbed
from edgekit.evaluation.timing import Candidate, Machine
from edgekit.evidence import believed
from edgekit.quantization.fewest_conversions import connected, fewest_conversions
from edgekit.quantization.float_budget import FloatBudget
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes.contract.compiled_metadata import (
    CONVERSIONS,
    FloatByTime,
    TimedGroup,
    TrialResult,
)
from edgekit.runtimes.contract.description import Description

TIMED_IMAGES = 8
"""Calibration images of files that are timed and not judged: ranges take no time."""
MAX_GROUPS = 3
"""Groups that are timed by themselves at most; the smaller ones go together."""
TOO_BUSY = "the machine was too busy to tell (build again with --force quantize)"
INT8, ALL = "int8", "all of them"
Groups = dict[str, tuple[str, ...]]
"""Operators by what a report calls them."""


def suspects(description: Description) -> dict[str, str]:
    """Operators of an int8 file that may be faster in float, each with its kind."""
    return {
        operator.written: operator.kind
        for operator in description.operators
        if operator.is_suspect and operator.is_integer and operator.kind not in CONVERSIONS
    }


@dataclass
class FloatByTimeSearch:
    """A search in four steps; a file without suspects costs no timing.

    1. Group: with the suspects goes to float what makes conversions the fewest, so that a LayerNorm
       goes as a whole. Of convolutions and products none but suspects go, the largest first, as
       far as they may. Parts that do not touch are of one group where their suspects are of the
       same kinds.
    2. Time: the int8 file, one with all groups in float and one with each, interleaved.
    3. Join: where several groups win by themselves but not all, one with those is timed too.
    4. Judge: the fastest whose interval lies below 1 is kept, if it holds what is asked, or where
       int8 does not, if no fewer of the judged images agree.

    Args:
        config: the one that was chosen.
        path: the file that was made of it.
        max_float_macs: share of the multiply-accumulates that may run in float, from 0 to 1.
        machine: what files are timed on.
    """

    trials: QuantizationTrials
    config: QuantizationConfig
    path: Path
    asked: StopCriterion
    max_float_macs: float
    machine: Machine = HERE

    @cached_property
    def description(self) -> Description:
        return self.trials.runtime.describe(self.path)

    @cached_property
    def quick(self) -> QuantizationTrials:
        """The same trials on few images; what was made of all is shared."""
        return replace(self.trials, images=self.trials.images[:TIMED_IMAGES])

    @cached_property
    def budget(self) -> FloatBudget:
        return FloatBudget(self.quick, self.config, self.max_float_macs)

    def run(self) -> tuple[QuantizationConfig, FloatByTime | None]:
        """Search.

        Returns:
            the configuration to use and what was seen; None where nothing is suspected.
        """
        if not self.trials.runtime.names_suspects or not suspects(self.description):
            return self.config, None
        try:
            groups = self.groups()
            timed = self._time(groups) if groups else {}
        except (DeviceError, Unsupported) as error:  # a file with these in float cannot be made
            return self.config, FloatByTime(tried=(), ended=error.message)
        return self._judge(groups, timed)

    def groups(self) -> Groups:
        """Step 1: all together first, then each where there are several."""
        float_file = self.trials.float_file(self.config.corrections)
        activations = self.trials.runtime.activations(float_file)
        slow = suspects(self.description)
        in_float = {o.written for o in self.description.operators if not o.is_integer}
        in_int8 = {"", *self._stay_in_int8(slow)}  # the image comes in codes
        chosen = fewest_conversions(activations, in_float | slow.keys(), in_int8) - in_float
        parts: dict[str, list[str]] = {}
        for part in connected(activations, chosen):
            kinds = ", ".join(sorted({slow[name] for name in part & slow.keys()}))
            parts.setdefault(kinds or "what lies between float operators", []).extend(sorted(part))
        return _grouped(parts)

    def _stay_in_int8(self, slow: Iterable[str]) -> set[str]:
        """What would take multiply-accumulates to float and is no suspect, or is too large. A clamp
        takes those of the layer before it."""
        integer = [o for o in self.description.operators if o.is_integer]
        share = self.budget.share(())
        takes = {o.written for o in integer if o.heavy or self.budget.share((o.written,)) > share}
        largest = sorted(
            (o for o in integer if o.heavy and o.written in slow), key=lambda o: -o.macs
        )
        return takes - {*self.budget.extended((), [o.written for o in largest])}

    def _time(self, groups: Groups) -> dict[str, TimedGroup]:
        """Steps 2 and 3; what is joined is put into `groups`."""
        timed = self._against_int8(groups)
        winners = [name for name in groups if name != ALL and is_faster(timed[name])]
        if ALL in groups and 1 < len(winners) < len(groups) - 1:
            joined = {"; ".join(winners): tuple(n for each in winners for n in groups[each])}
            timed |= self._against_int8(joined)
            groups |= joined
        return timed

    def _against_int8(self, groups: Groups) -> dict[str, TimedGroup]:
        self.quick.purpose = "timing in float what int8 may slow down"
        files = {name: self.quick.keep(self.budget.with_float(groups[name])) for name in groups}
        runtime, form = self.trials.runtime.name, self.trials.calibrated_form
        candidates = [
            Candidate(name, runtime, path, form)
            for name, path in {INT8: self.path, **files}.items()
        ]
        judged, progress = self.quick.judged_file, self.quick.progress
        timed = undisturbed(lambda: self.machine.time(candidates, judged, progress))
        timings = timed.timings
        ratios = {n: ratio_by(self.machine, timings[n], timings[INT8]) for n in groups}
        return {
            name: TimedGroup(
                group=name,
                operators=len(groups[name]),
                ratio=unless_disturbed(ratios[name], timed.disturbed),
            )
            for name in groups
        }

    def _judge(
        self, groups: Groups, timed: dict[str, TimedGroup]
    ) -> tuple[QuantizationConfig, FloatByTime]:
        """Step 4."""
        seen = FloatByTime(tried=tuple(timed.values()), ended="none of them is faster in float")
        if not groups:
            ended = f"max_float_macs ({self.max_float_macs:g}) leaves no room for them"
            return self.config, seen.model_copy(update={"ended": ended})
        ratios = {name: ratio for name in timed if (ratio := believed(timed[name].ratio))}
        if not ratios:
            return self.config, seen.model_copy(update={"ended": TOO_BUSY})
        faster = [name for name in ratios if is_faster(timed[name])]
        if not faster:
            return self.config, seen
        self.trials.purpose = "judging what is faster in float"
        for name in sorted(faster, key=lambda name: ratios[name].value):
            config = self.budget.with_float(groups[name])
            trial = self.trials.try_out(config)
            if self._is_enough(trial):
                found = {"chosen": timed[name], "operators": groups[name], "trial": trial}
                return config, seen.model_copy(update={**found, "ended": "they stay so"})
        ended = "what is faster in float agrees less with the float model"
        return self.config, seen.model_copy(update={"ended": ended})

    def _is_enough(self, trial: TrialResult) -> bool:
        if trial.agreement is None or self.asked.holds(trial):
            return trial.agreement is not None
        return not self.asked.holds(self.int8) and trial.agreement >= (self.int8.agreement or 0.0)

    @cached_property
    def int8(self) -> TrialResult:
        return self.trials.try_out(self.config)


def _grouped(parts: dict[str, list[str]]) -> Groups:
    """The largest by themselves, the rest together; before them all, if there are several."""
    names = sorted(parts, key=lambda name: -len(parts[name]))
    found = {name: tuple(parts[name]) for name in names[: MAX_GROUPS - 1]}
    if rest := names[MAX_GROUPS - 1 :]:
        found["; ".join(rest)] = tuple(operator for name in rest for operator in parts[name])
    together = tuple(operator for group in found.values() for operator in group)
    return {ALL: together, **found} if len(found) > 1 else found


def is_faster(timed: TimedGroup) -> bool:
    """Whether the whole interval of the ratio to int8 lies below 1."""
    ratio = believed(timed.ratio)
    return ratio is not None and ratio.high is not None and ratio.high < 1
