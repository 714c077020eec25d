"""Mixed precision: the fewest operators in float with which int8 holds what is asked of it.

An inspection of the int8 file says where it goes wrong, and how much of the scores' noise arose at
each operator. In that order operators are given back to float, twice as many each time and each
time after a new inspection, since noise hides what comes after it, until the images that judge
agree; then each is tried in int8 again, from the last of them on, and stays in float only where
that would break what is asked. What the float operators cost is measured, not estimated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgekit import stats
from edgekit.errors import DeviceError, Unsupported
from edgekit.evaluation.file_audit import audit
from edgekit.evaluation.measure import Candidate, measure
from edgekit.inspection.layerwise import Inspection, TensorReport, inspect_files
from edgekit.model_metadata import FloatOp, MixedPrecision, MixedPrecisionStep, TrialResult
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes.contract.description import Activation
from edgekit.runtimes.contract.operator_kinds import is_clamp

MOST = 32
"""Operators in float at most: beyond, another architecture or float16 serves better."""
MARGIN_DB = 1.0
"""Where not enough is reached, fewer operators are preferred that are no worse than this."""
INSPECTED = 32
"""Images that the inspection looks at."""


@dataclass
class _MixedSearch:
    workshop: QuantizationTrials
    way: QuantizationConfig
    """Everything in int8 but the operators that it keeps in float."""
    stop_at: float
    max_float_macs: float
    base: float
    """Share of the multiply-accumulates that `way` itself has in float, from 0 to 1: of its own
    operators in float, and of what has no integer kernel."""
    macs: dict[str, int]
    fused: dict[str, tuple[str, ...]]
    """The operators that run as one with an operator and go back to float with it: a clamp's
    layer."""
    points: dict[frozenset[str], MixedPrecisionStep] = field(default_factory=dict)
    blamed: dict[str, FloatOp] = field(default_factory=dict)
    """Operators, by what was last found of them while they were in int8."""
    order: list[str] = field(default_factory=list)
    """As the last inspection ranked them."""

    def point(self, operators: tuple[str, ...]) -> MixedPrecisionStep:
        key = frozenset(operators)
        if key not in self.points:
            trial = self.workshop.try_out(self.keep_in_float(operators))
            share = self.float_share(operators)
            self.points[key] = MixedPrecisionStep(
                operators=operators, float_macs=share, trial=trial
            )
        return self.points[key]

    def keep_in_float(self, operators: tuple[str, ...]) -> QuantizationConfig:
        return _adding(self.way, _whole(self.fused, operators))

    def float_share(self, operators: tuple[str, ...]) -> float:
        added = {*_whole(self.fused, operators)} - {*self.way.quantization.float_ops}
        total = sum(self.macs.values())
        return self.base + sum(self.macs.get(name, 0) for name in added) / total if total else 0.0

    def holds(self, point: MixedPrecisionStep) -> bool:
        agreement = point.trial.agreement
        return agreement is not None and agreement >= self.stop_at

    def next_ones(self, operators: tuple[str, ...]) -> list[str]:
        """What to give back next: where it goes wrong; else as many again, by their noise.

        Raises:
            DeviceError, Unsupported: not even the first file can be inspected.
        """
        wrong = 0
        try:
            # A set with which no file can be made is passed: more in float may do.
            if not self.order or self.point(operators).trial.sqnr_db is not None:
                self.order, wrong = self.ranked(operators)
        except (DeviceError, Unsupported):
            if not self.order:
                raise
        return self.free(self.order, operators)[: wrong or max(1, len(operators))]

    def ranked(self, operators: tuple[str, ...]) -> tuple[list[str], int]:
        """Operators in int8: those at which the file goes wrong, then by the noise that arose at
        them; and how many go wrong."""
        shop = self.workshop
        inspection = inspect_files(
            shop.runtime,
            shop.float_file(self.way.corrections),
            shop.calibrated_form,
            shop.keep(self.keep_in_float(operators)),
            shop.calibrated_form,
            shop.judged[:INSPECTED],
        )
        shares: dict[str, tuple[str, float]] = {}
        for tensor in inspection.tensors:
            known = shares.get(tensor.operator, ("", 0.0))[1]
            shares[tensor.operator] = (tensor.kind, known + tensor.share_added)
        bad = (t for t in inspection.tensors if t.goes_wrong and not inspection.is_sound)
        behind = dict.fromkeys(name for t in bad for name in self.behind(t, inspection))
        wrong = self.free(behind, operators)
        noisy = sorted((n for n in shares if shares[n][1] > 0), key=lambda n: -shares[n][1])
        order = self.free(dict.fromkeys((*wrong, *noisy)), operators)
        for name in order:
            kind, arose = shares[name]
            self.blamed[name] = FloatOp(operator=name, kind=kind, arose=arose, wrong=name in behind)
        return order, len(wrong)

    def free(self, names: Iterable[str], operators: tuple[str, ...]) -> list[str]:
        """Those that are in int8, and may be in float."""
        done = {"", *self.keep_in_float(operators).quantization.float_ops}
        return [
            name
            for name in names
            if name not in done and self.float_share((*operators, name)) <= self.max_float_macs
        ]

    def behind(self, tensor: TensorReport, inspection: Inspection) -> tuple[str, ...]:
        """The operator of a tensor that goes wrong, and those that made its inputs: where a
        division amplifies the noise of codes, it is these codes that are at fault."""
        if tensor.cause != "inputs":
            return (tensor.operator,)
        makers = (each.operator for each in inspection.tensors if each.name in tensor.inputs)
        return (tensor.operator, *makers)

    def kept(self, operator: str, back_in_int8: TrialResult | None) -> FloatOp:
        return self.blamed[operator].model_copy(update={"back_in_int8": back_in_int8})

    def grown(self, operators: tuple[str, ...], names: Iterable[str]) -> tuple[str, ...]:
        """As many of the names besides as may stay in float."""
        for name in names:
            more = (*operators, name)
            if len(more) <= MOST and self.float_share(more) <= self.max_float_macs:
                operators = more
        return operators


def search_mixed_precision(
    workshop: QuantizationTrials,
    way: QuantizationConfig,
    stop_at: float,
    max_float_macs: float,
    given: tuple[FloatOp, ...] = (),
) -> tuple[QuantizationConfig, MixedPrecision | None]:
    """Give operators back to float until `stop_at` holds.

    Args:
        way: the best with everything in int8, which does not hold it.
        max_float_macs: share of the multiply-accumulates that may stay in float, from 0 to 1.
        given: what an earlier walk, with other ranges, gave back: this one begins with them.

    Returns:
        the way with the fewest found, and what was seen; the way as it was and None where the
        int8 file stops while it is inspected.
    """
    float_file = workshop.float_file(way.corrections)
    macs = {o.written: o.macs for o in workshop.runtime.describe(float_file).operators}
    fused = _fused(workshop.runtime.activations(float_file))
    int8_file = workshop.keep(way)
    integer = audit(workshop.runtime.describe(int8_file)).quantized_macs
    base = 0.0 if integer is None else 1 - integer
    mixer = _MixedSearch(workshop, way, stop_at, max_float_macs, base, macs, fused)
    mixer.blamed = {each.operator: each for each in given}
    try:
        enough, order = _enough(mixer, tuple(mixer.blamed))
    except (DeviceError, Unsupported):
        return way, None
    tried = tuple(mixer.kept(name, None) for name in order)
    if enough is not None:
        best, kept = _fewest(mixer, enough, mixer.holds)
    else:
        best = _fewest_of_the_clearest(mixer)
        kept = tuple(mixer.kept(name, None) for name in best.operators)
        if given:  # the last walk
            floor = _clearness(best) - MARGIN_DB
            best, kept = _fewest(mixer, best.operators, lambda point: _clearness(point) >= floor)
    reached = mixer.holds(best)  # fewer may, where with other ranges more did not
    ended = (
        f"{len(best.operators)} operators in float hold {stop_at:g} %"
        if reached
        else f"{len(order)} operators in float do not reach {stop_at:g} %: the fewest that do as "
        "well are kept"
    )
    chosen = mixer.keep_in_float(best.operators)
    curve = _with_cost(mixer, best)
    return chosen, MixedPrecision(
        stop_at=stop_at,
        reached=reached,
        tried=tried,
        curve=curve,
        kept=kept,
        ended=ended,
    )


def in_float(
    workshop: QuantizationTrials, way: QuantizationConfig, given: tuple[FloatOp, ...]
) -> QuantizationConfig:
    """A way with operators given back to float."""
    fused = _fused(workshop.runtime.activations(workshop.float_file(way.corrections)))
    return _adding(way, _whole(fused, tuple(each.operator for each in given)))


def _adding(way: QuantizationConfig, operators: tuple[str, ...]) -> QuantizationConfig:
    return way.keep_in_float((*way.quantization.float_ops, *operators))


def _whole(fused: dict[str, tuple[str, ...]], operators: tuple[str, ...]) -> tuple[str, ...]:
    parts = (part for name in operators for part in fused.get(name, (name,)))
    return tuple(dict.fromkeys(parts))


def _fused(activations: tuple[Activation, ...]) -> dict[str, tuple[str, ...]]:
    """A layer's output is clamped before it is quantised: with a clamp alone in float, the layer
    would be quantised to values that are then cut off."""
    makers = {each.name: each for each in activations}
    found = {}
    for each in activations:
        chain = [each.operator]
        while is_clamp(each.kind) and len(each.inputs) == 1 and each.inputs[0] in makers:
            each = makers[each.inputs[0]]
            chain.append(each.operator)
        found[chain[0]] = tuple(name for name in chain if name)
    return found


def _fewest_of_the_clearest(mixer: _MixedSearch) -> MixedPrecisionStep:
    clearest = max(map(_clearness, mixer.points.values()))
    good = (p for p in mixer.points.values() if _clearness(p) >= clearest - MARGIN_DB)
    return min(good, key=lambda point: len(point.operators))


def _clearness(point: MixedPrecisionStep) -> float:
    return -math.inf if point.trial.sqnr_db is None else point.trial.sqnr_db


def _enough(
    mixer: _MixedSearch, order: tuple[str, ...]
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The shortest beginning that holds, found by growing and halving, and the whole order."""
    low = 0
    mixer.point(())
    while not mixer.holds(mixer.point(order)):
        names = mixer.next_ones(order)
        low, order = len(order), mixer.grown(order, names)
        if len(order) == low:
            return None, order
    high = len(order)
    while high - low > 1:
        middle = (low + high) // 2
        if mixer.holds(mixer.point(order[:middle])):
            high = middle
        else:
            low = middle
    return order[:high], order


def _fewest(
    mixer: _MixedSearch, enough: tuple[str, ...], holds: Callable[[MixedPrecisionStep], bool]
) -> tuple[MixedPrecisionStep, tuple[FloatOp, ...]]:
    """Drop each operator that is not needed, the last one first, and say what holds the rest."""
    left = enough
    returned: dict[str, TrialResult] = {}
    for name in reversed(enough):
        fewer = tuple(other for other in left if other != name)
        point = mixer.point(fewer)
        if holds(point):
            left = fewer
        else:
            returned[name] = point.trial
    return mixer.point(left), tuple(mixer.kept(name, returned.get(name)) for name in left)


def _with_cost(mixer: _MixedSearch, best: MixedPrecisionStep) -> tuple[MixedPrecisionStep, ...]:
    """The points by their number of operators; the first and the chosen one are timed."""
    shop = mixer.workshop
    order = sorted(mixer.points.values(), key=lambda p: len(p.operators))
    ends = {"int8": mixer.points[frozenset()], "best": best}
    files: dict[str, Path] = {}
    for name, point in ends.items():
        if point.trial.sqnr_db is not None:
            files[name] = shop.keep(mixer.keep_in_float(point.operators))
    if len(files) < 2 or best.operators == ():
        return tuple(order)
    form, runtime = shop.calibrated_form, shop.runtime.name
    candidates = [Candidate(name, runtime, path, form) for name, path in files.items()]
    timings = measure(candidates, shop.judged_file, shop.progress).timings
    ratio, _ = stats.median_ratio(timings["best"].medians, timings["int8"].medians)
    timed = best.model_copy(update={"latency_ratio": round(ratio, 3)})
    return tuple(timed if point is best else point for point in order)
