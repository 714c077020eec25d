"""Mixed precision: the fewest operators in float with which int8 holds what is asked of it.

An inspection of the int8 file says how much of the scores' noise arose at each operator. In that
order operators are given back to float, twice as many each time, until the images that judge
agree; then each is tried in int8 again, from the least of them on, and stays in float only where
that would break what is asked. What the float operators cost is measured, not estimated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edgekit import stats
from edgekit.audit import audit
from edgekit.errors import DeviceError
from edgekit.inspection import inspect_files
from edgekit.measure import Candidate, measure
from edgekit.ptq.workshop import Trial, Way, Workshop
from edgekit.runtimes.base import Activation

CLAMPS = {"RELU", "RELU6", "CLIP", "CLAMP"}
MOST = 32
"""Operators in float at most: beyond, another architecture or float16 serves better."""
INSPECTED = 32
"""Images that the inspection looks at."""


class Point(BaseModel):
    """A number of operators in float, and what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operators: tuple[str, ...]
    float_macs: float
    """Share of the multiply-accumulates that run in float, from 0 to 1."""
    trial: Trial
    latency_ratio: float | None = None
    """Median latency against the file with none in float, on this machine, interleaved."""


class Kept(BaseModel):
    """An operator that stays in float, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: str
    kind: str
    arose: float
    """Share of the scores' noise that arose at it, from 0 to 1, with everything in int8."""
    back_in_int8: Trial | None
    """What comes of it when it alone returns to int8."""


class Mixed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    stop_at: float
    """Percent of the judged images that were to agree."""
    curve: tuple[Point, ...]
    kept: tuple[Kept, ...]
    ended: str


@dataclass
class _Mixer:
    workshop: Workshop
    way: Way
    """Everything in int8 but its own islands."""
    stop_at: float
    max_float_macs: float
    base: float
    """Share of the multiply-accumulates that `way` itself has in float, from 0 to 1: of its own
    islands, and of what has no integer kernel."""
    macs: dict[str, int]
    fused: dict[str, tuple[str, ...]]
    """The operators that run as one with an operator and go back to float with it: a clamp's
    layer."""
    points: dict[frozenset[str], Point] = field(default_factory=dict)

    def point(self, operators: tuple[str, ...]) -> Point:
        key = frozenset(operators)
        if key not in self.points:
            trial = self.workshop.try_out(self.with_islands(operators))
            share = self.float_share(operators)
            self.points[key] = Point(operators=operators, float_macs=share, trial=trial)
        return self.points[key]

    def with_islands(self, operators: tuple[str, ...]) -> Way:
        asked = self.way.quantization
        islands = (*asked.islands, *self.whole(operators))
        return self.way.model_copy(
            update={"quantization": asked.model_copy(update={"islands": islands})}
        )

    def whole(self, operators: tuple[str, ...]) -> tuple[str, ...]:
        parts = (part for name in operators for part in self.fused.get(name, (name,)))
        return tuple(dict.fromkeys(parts))

    def float_share(self, operators: tuple[str, ...]) -> float:
        added = {*self.whole(operators)} - {*self.way.quantization.islands}
        total = sum(self.macs.values())
        return self.base + sum(self.macs.get(name, 0) for name in added) / total if total else 0.0

    def holds(self, point: Point) -> bool:
        agreement = point.trial.agreement
        return agreement is not None and agreement >= self.stop_at

    def ranked(self, int8_file: Path) -> dict[str, tuple[str, float]]:
        """Operators by the noise that arose at them: their kind, and its share of the scores'."""
        shop = self.workshop
        inspection = inspect_files(
            shop.runtime,
            shop.float_file(self.way.corrections),
            shop.calibrated_form,
            int8_file,
            shop.calibrated_form,
            shop.judged[:INSPECTED],
        )
        shares: dict[str, tuple[str, float]] = {}
        for tensor in inspection.tensors:
            known = shares.get(tensor.operator, ("", 0.0))[1]
            shares[tensor.operator] = (tensor.kind, known + tensor.arose)
        done = {"", *self.way.quantization.islands}
        order = sorted(shares.items(), key=lambda item: -item[1][1])
        return {name: found for name, found in order if name not in done and found[1] > 0}

    def affordable(self, names: Iterator[str]) -> tuple[str, ...]:
        """As many as may stay in float, in their order."""
        chosen: tuple[str, ...] = ()
        for name in names:
            if len(chosen) < MOST and self.float_share((*chosen, name)) <= self.max_float_macs:
                chosen = (*chosen, name)
        return chosen


def mix(
    workshop: Workshop, way: Way, stop_at: float, max_float_macs: float
) -> tuple[Way, Mixed | None]:
    """Give operators back to float until `stop_at` holds.

    Args:
        way: the best with everything in int8, which does not hold it.
        max_float_macs: share of the multiply-accumulates that may stay in float, from 0 to 1.

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
    mixer = _Mixer(workshop, way, stop_at, max_float_macs, base, macs, fused)
    try:
        ranked = mixer.ranked(int8_file)
    except DeviceError:
        return way, None
    order = mixer.affordable(iter(ranked))
    enough = _enough(mixer, order)
    if enough is None:
        best = max(mixer.points.values(), key=_clearness)
        ended = f"{len(order)} operators in float do not reach {stop_at:g} %: the best is kept"
        kept = tuple(Kept(operator=o, kind=ranked[o][0], arose=ranked[o][1], back_in_int8=None)
                     for o in best.operators)  # fmt: skip
    else:
        best, kept = _fewest(mixer, enough, ranked)
        ended = f"{len(best.operators)} operators in float hold {stop_at:g} %"
    chosen = mixer.with_islands(best.operators)
    curve = _with_cost(mixer, best)
    return chosen, Mixed(stop_at=stop_at, curve=curve, kept=kept, ended=ended)


def _fused(activations: tuple[Activation, ...]) -> dict[str, tuple[str, ...]]:
    """A layer's output is clamped before it is quantised: with a clamp alone in float, the layer
    would be quantised to values that are then cut off."""
    makers = {each.name: each for each in activations}
    found = {}
    for each in activations:
        chain = [each.operator]
        while each.kind.upper() in CLAMPS and each.inputs and each.inputs[0] in makers:
            each = makers[each.inputs[0]]
            chain.append(each.operator)
        found[chain[0]] = tuple(name for name in chain if name)
    return found


def _clearness(point: Point) -> float:
    return -math.inf if point.trial.sqnr_db is None else point.trial.sqnr_db


def _enough(mixer: _Mixer, order: tuple[str, ...]) -> tuple[str, ...] | None:
    """The shortest beginning of `order` that holds, found by doubling and halving."""
    mixer.point(())
    low, high = 0, 1
    while not mixer.holds(mixer.point(order[:high])):
        if high >= len(order):
            return None
        low, high = high, min(2 * high, len(order))
    while high - low > 1:
        middle = (low + high) // 2
        if mixer.holds(mixer.point(order[:middle])):
            high = middle
        else:
            low = middle
    return order[:high]


def _fewest(
    mixer: _Mixer, enough: tuple[str, ...], ranked: dict[str, tuple[str, float]]
) -> tuple[Point, tuple[Kept, ...]]:
    """Drop each operator that is not needed, the least noisy first, and say what holds the rest."""
    left = enough
    returned: dict[str, Trial] = {}
    for name in reversed(enough):
        fewer = tuple(other for other in left if other != name)
        point = mixer.point(fewer)
        if mixer.holds(point):
            left = fewer
        else:
            returned[name] = point.trial
    kept = (
        Kept(operator=o, kind=ranked[o][0], arose=ranked[o][1], back_in_int8=returned.get(o))
        for o in left
    )
    return mixer.point(left), tuple(kept)


def _with_cost(mixer: _Mixer, best: Point) -> tuple[Point, ...]:
    """The points by their number of operators; the first and the chosen one are timed."""
    shop = mixer.workshop
    order = sorted(mixer.points.values(), key=lambda p: len(p.operators))
    ends = {"int8": mixer.points[frozenset()], "best": best}
    files: dict[str, Path] = {}
    for name, point in ends.items():
        if point.trial.sqnr_db is not None:
            files[name] = shop.keep(mixer.with_islands(point.operators))
    if len(files) < 2 or best.operators == ():
        return tuple(order)
    form, runtime = shop.calibrated_form, shop.runtime.name
    candidates = [Candidate(name, runtime, path, form) for name, path in files.items()]
    timings = measure(candidates, shop.judged_file, shop.progress).timings
    ratio, _ = stats.median_ratio(timings["best"].medians, timings["int8"].medians)
    timed = best.model_copy(update={"latency_ratio": round(ratio, 3)})
    return tuple(timed if point is best else point for point in order)
