"""Where a compressed file parts from its float original: tensor by tensor, on real images.

The noise that quantisation adds is followed through the graph. A tensor's noise has three sources:
its own codes (rounding and clipping, measured on the float values), the codes of its maker's
weights (as far as inputs that are noise themselves would show it), and what came in with the
maker's inputs, amplified or damped: a division by small codes amplifies it, a mean damps it. Of
several inputs each brings its part: where powers add up (additions, concatenations) by the noise,
anywhere else by the ratio of noise to signal.

From the scores back, the same shares say how much of the scores' noise arose at each operator. This
is layer-wise relevance propagation (Bach et al. 2015), of noise in place of evidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from edgekit.errors import InputError
from edgekit.runtimes.base import Activation, InputForm, Runtime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.tally import Tally

SOUND_DB = 20.0
"""Scores with this much signal over noise decide as the float file's do, near ties aside."""
DROP_DB = 6.0
"""What one bit less costs: an operator that loses as much at once is where it goes wrong."""
MATTERS = 0.1
"""Share of the scores' noise that must pass through an operator for its loss to matter."""
EIGHT_BITS_DB = 30.0
"""About what eight bits leave of an activation; above it nothing is lost yet."""
SUMS = {"ADD", "SUB", "SUBTRACT", "SUM", "ADD_N"}
JOINS = {"CONCAT", "CONCATENATION", "PACK"}
"""Kinds of operators, in any runtime's spelling, in which noise adds up as powers."""

MOVES = {"RESHAPE", "TRANSPOSE", "FLATTEN", "SQUEEZE", "UNSQUEEZE", "EXPAND_DIMS", "IDENTITY"}
MOVES |= {"SLICE", "STRIDED_SLICE", "STRIDEDSLICE", "SPLIT", "SPLIT_V", "VARIADICSPLIT", "GATHER"}
MOVES |= {"PAD", "PADV2", "MAXPOOL", "MAX_POOL_2D", "RELU", "CLIP", "CLAMP", "RELU6"}
"""Kinds that give values they were given, or constants: codes stay as they are."""

Cause = Literal["codes", "weights", "inputs"]
CAUSES: tuple[Cause, ...] = ("codes", "weights", "inputs")


class TensorReport(BaseModel):
    """One tensor that both files have. Values are of all images, SQNRs medians over images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    operator: str
    """What `quantize.islands` calls its maker; empty for the image."""
    layer: str
    """The maker for a person to read."""
    kind: str
    """Of its maker in the float file."""
    inputs: tuple[str, ...]
    """Those of these tensors that it is made of; what the compressed file fused away is skipped."""
    sqnr_db: float
    codes_db: float | None
    """What the SQNR would be if nothing but its own codes made noise; None where it is in float."""
    weights_db: float | None
    """What the SQNR would be if nothing but its maker's weights made noise, of inputs that are
    noise themselves; None where there are none."""
    inherited_db: float
    """What the SQNR would be with the noise of its inputs alone, neither amplified nor damped."""
    lost_db: float
    """What was lost here: `inherited_db`, but no more than EIGHT_BITS_DB, less `sqnr_db`."""
    cause: Cause
    """Where most of what was lost here comes from: its own `codes`, its maker's `weights`, or the
    `inputs`, whose noise its maker passed on or amplified."""
    arose: float
    """Share of the scores' noise that arose here, from 0 to 1; they add up to 1."""
    passed: float
    """Share of the scores' noise that arose here or before, and came this way."""
    low: float
    high: float
    """Of the float values."""
    code_low: float | None
    code_high: float | None
    """What the codes can stand for."""
    clipped: float | None
    """Share of the float values outside of that."""
    clipping: float
    """Share of the codes' noise that clipping makes, from 0 to 1; the rest is rounding."""
    channels: int
    dead: int
    """Channels that live in the float file and are constant in the compressed one."""
    dead_in_float: int
    """Channels that are constant in both."""
    spread: float
    """The range of the widest channel over that of the median one."""
    deviation: float
    """Standard deviation of the float values."""
    bias: float
    """Share of its noise that is a constant shift of each channel, from 0 to 1."""

    @property
    def goes_wrong(self) -> bool:
        """Whether it loses much, and matters for the scores."""
        return self.lost_db >= DROP_DB and self.passed >= MATTERS


class Inspection(BaseModel):
    """A compressed file against its float original."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: str
    images: int
    per_channel: bool
    """The compressed file's weights have one scale for each output channel."""
    tensors: tuple[TensorReport, ...]
    """In the order they are made; the image comes first and the scores last."""
    fused: int
    """Tensors of the float file that the compressed one does not have."""

    @property
    def sqnr_db(self) -> float:
        """Of the scores."""
        return self.tensors[-1].sqnr_db

    @property
    def is_sound(self) -> bool:
        return self.sqnr_db >= SOUND_DB

    @property
    def wrong(self) -> tuple[TensorReport, ...]:
        """Where it goes wrong, the first place first; empty where the scores are sound.

        Every operator that loses DROP_DB or more at once while MATTERS of the scores' noise came
        through it; or, where the loss is spread over many, the one at which most of it arose.
        """
        if self.is_sound:
            return ()
        found = tuple(tensor for tensor in self.tensors if tensor.goes_wrong)
        return found or (max(self.tensors, key=lambda tensor: tensor.arose),)


def inspect_files(
    runtime: Runtime,
    float_path: Path,
    float_form: InputForm,
    compressed_path: Path,
    compressed_form: InputForm,
    images: NDArray[np.uint8],
) -> Inspection:
    """Run both files on the same images and compare every tensor that both have.

    Args:
        float_path: what `compile` left.
        compressed_path: what `quantize` or `bake` made of it.
        images: uint8 (images, height, width, 3), of the training side.

    Raises:
        InputError: the files have no tensors in common, or take images of another size.
        DeviceError: the compressed file stops at an image.
    """
    from edgekit.tally import Tally

    made = {a.name: a for a in runtime.activations(float_path)}
    codes = {a.name: a for a in runtime.activations(compressed_path)}
    tallies: dict[str, Tally] = {}
    pairs = zip(
        runtime.tensors(float_path, float_form, images),
        runtime.tensors(compressed_path, compressed_form, images),
        strict=True,
    )
    for original, compressed in pairs:
        for name in original.keys() & compressed.keys() & made.keys() & codes.keys():
            if original[name].shape == compressed[name].shape and original[name].size:
                tally = tallies.setdefault(name, Tally(codes[name], runtime.channel_axis))
                tally.add(original[name], compressed[name])
    tallies = {name: tallies[name] for name in made if name in tallies}
    if len(tallies) < 2:
        raise InputError(
            f"{compressed_path} and {float_path} have no tensors in common",
            hint="the float file must be the one that the compressed file was made from",
        )
    before, after = runtime.weights(float_path), runtime.weights(compressed_path)
    weights = {op: _ratio(before[op], after[op]) for op in before.keys() & after.keys()}
    flow = _Flow(made, tallies, weights)
    return Inspection(
        runtime=runtime.name,
        images=len(images),
        per_channel=runtime.describe(compressed_path).per_channel,
        tensors=tuple(flow.reports()),
        fused=len(made) - len(tallies),
    )


@dataclass(frozen=True)
class _Share:
    """The noise of one tensor by its sources, each as noise over signal."""

    own: float
    weights: float
    inherited: float

    @property
    def total(self) -> float:
        return self.own + self.weights + self.inherited


class _Flow:
    """How noise runs through the tensors that both files have."""

    def __init__(
        self, made: dict[str, Activation], tallies: dict[str, Tally], weights: dict[str, float]
    ) -> None:
        self.made = made
        self.tallies = tallies
        self.weights = weights
        """Noise over signal of the weights of each layer."""
        self.ratios = {name: _linear(tally.sqnr_db) for name, tally in tallies.items()}
        self.makers = {name: self._maker(name) for name in tallies}
        self.brought = {name: self._brought(name) for name in tallies}
        self.shares = {name: self._share(name) for name in tallies}

    def _maker(self, name: str) -> _Maker:
        """What lies between a tensor and the nearest ones before it that both files have."""
        sources, layers, kinds, waiting = [], set(), set(), [name]
        while waiting:
            activation = self.made[waiting.pop()]
            kinds.add(activation.kind.upper())
            if activation.has_weights:
                layers.add(activation.operator)
            sources += [source for source in activation.inputs if source in self.tallies]
            waiting += [i for i in activation.inputs if i in self.made and i not in self.tallies]
        noise = sum(self.weights.get(layer, 0.0) for layer in layers)
        return _Maker(tuple(dict.fromkeys(sources)), noise if layers else None, kinds)

    def _brought(self, name: str) -> dict[str, float]:
        """Noise over signal that each input brings, if nothing is added."""
        import numpy as np

        from edgekit import stats

        here, maker, found = self.tallies[name], self.makers[name], {}
        for source in maker.sources:
            tally, noise = self.tallies[source], self.ratios[source]
            if maker.sums:
                # A smaller summand is repeated; a part of a concatenation is not.
                times = max(1.0, here.size / tally.size) if maker.kinds & SUMS else 1.0
                added = stats.decibels(here.signal, tally.noise * times)
                noise = _linear(float(np.median(added)))
            found[source] = noise
        return found

    def _share(self, name: str) -> _Share:
        """What its codes and weights explain of a tensor's noise; the rest came in."""
        total, codes_db, maker = self.ratios[name], self.tallies[name].codes_db, self.makers[name]
        if not maker.sources:
            return _Share(total, 0.0, 0.0)
        own = 0.0 if codes_db is None or self._keeps_codes(name) else _linear(codes_db)
        weights = maker.weights or 0.0
        fits = min(1.0, total / (own + weights)) if own + weights else 1.0
        own, weights = own * fits, weights * fits
        return _Share(own, weights, max(total - own - weights, 0.0))

    def _keeps_codes(self, name: str) -> bool:
        """Whether a tensor holds codes of its source, which were rounded there."""
        maker = self.makers[name]
        grids = [_grid(self.tallies[each].codes) for each in (name, *maker.sources)]
        return maker.kinds <= MOVES and len(set(grids)) == 1

    def passed(self) -> dict[str, float]:
        """For each tensor the share of the scores' noise that came through it."""
        found = dict.fromkeys(self.tallies, 0.0)
        found[[*self.tallies][-1]] = 1.0
        for name in reversed(self.tallies):
            share, brought = self.shares[name], self.brought[name]
            whole = share.total * sum(brought.values())
            if whole:
                for source, part in brought.items():
                    found[source] += found[name] * share.inherited * part / whole
        return found

    def reports(self) -> Iterator[TensorReport]:
        passed = self.passed()
        for name, tally in self.tallies.items():
            activation, share = self.made[name], self.shares[name]
            inherited_db = _decibels(sum(self.brought[name].values()))
            arose = (share.own + share.weights) / share.total if share.total else 0.0
            parts = {"codes": share.own, "weights": share.weights, "inputs": share.inherited}
            weights = self.makers[name].weights
            yield TensorReport(
                name=name,
                operator=activation.operator,
                layer=activation.layer,
                kind=activation.kind,
                inputs=self.makers[name].sources,
                sqnr_db=tally.sqnr_db,
                codes_db=tally.codes_db,
                weights_db=None if weights is None else _decibels(weights),
                inherited_db=inherited_db,
                lost_db=min(inherited_db, EIGHT_BITS_DB) - tally.sqnr_db,
                cause=max(CAUSES, key=parts.__getitem__),
                arose=passed[name] * arose,
                passed=passed[name],
                low=tally.range[0],
                high=tally.range[1],
                code_low=tally.codes.low,
                code_high=tally.codes.high,
                clipped=tally.clipped_share,
                clipping=tally.clipping_share,
                channels=tally.channels,
                dead=tally.dead[0],
                dead_in_float=tally.dead[1],
                spread=tally.channel_spread,
                deviation=tally.deviation,
                bias=tally.bias_share,
            )


@dataclass(frozen=True)
class _Maker:
    """The operators that made a tensor of others, as one."""

    sources: tuple[str, ...]
    weights: float | None
    """Noise over signal that weights among them add; None where there are no weights."""
    kinds: set[str]

    @property
    def sums(self) -> bool:
        return self.weights is None and bool(self.kinds & (SUMS | JOINS))


def _ratio(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Noise over signal of the same weights in two files; none told where they are not the same."""
    import numpy as np

    power = float(np.square(before).sum())
    if before.shape != after.shape or not power:
        return 0.0
    return float(np.square(after - before).sum()) / power


def _grid(codes: Activation) -> tuple[float | None, ...]:
    return codes.low, codes.high, codes.step


def _linear(decibels: float) -> float:
    return float(10 ** (-decibels / 10))


def _decibels(ratio: float) -> float:
    return min(140.0, -10 * math.log10(ratio)) if ratio > 0 else 140.0
