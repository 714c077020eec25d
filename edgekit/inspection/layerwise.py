"""Where a compressed file parts from its float original: tensor by tensor, on real images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edgekit.engine.confinement import image_by_image
from edgekit.errors import InputError
from edgekit.inspection.noise_flow import NoiseFlow, decibels, ratio
from edgekit.inspection.tensor_stats import Factors, TensorStats, Values
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.input_form import InputForm

SOUND_DB = 20.0
"""Scores with this much signal over noise decide as the float file's do, near ties aside."""
DROP_DB = 6.0
"""What one bit less costs: an operator that loses as much at once is where it goes wrong."""
MIN_SHARE_THROUGH = 0.03
"""Share of the scores' noise that must pass through an operator for its loss to matter."""
EIGHT_BITS_DB = 30.0
"""About what eight bits leave of an activation; above it nothing is lost yet."""
MAJOR_SHARE = 0.5
"""Share of the scores' noise that makes the operator where it arose go wrong, whatever it lost."""
IMAGE_CHANNELS = 3
"""The axis of the image's channels, in every runtime."""

ErrorSource = Literal["codes", "weights", "inputs"]
CAUSES: tuple[ErrorSource, ...] = ("codes", "weights", "inputs")


class TensorReport(BaseModel):
    """One tensor that both files have. Values are of all images, SQNRs medians over images."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True
    )

    name: str
    operator: str
    """What `quantize.float_ops` calls its maker; empty for the image."""
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
    noise themselves; None where there are none, or none to compare."""
    inherited_db: float
    """What the SQNR would be with the noise of its inputs alone, neither amplified nor damped."""
    lost_db: float
    """What was lost here: `inherited_db`, but no more than EIGHT_BITS_DB, less `sqnr_db`."""
    noisiest: str | None
    """The input that brought most of its noise."""
    cause: ErrorSource
    """Where most of what was lost here comes from: its own `codes`, its maker's `weights`, or the
    `inputs`, whose noise its maker passed on or amplified."""
    share_added: float = Field(alias="arose")
    """Share of the scores' noise that arose here, from 0 to 1; they add up to 1."""
    share_through: float = Field(alias="passed")
    """Share of the scores' noise that arose here or before, and came this way."""
    low: float
    high: float
    """Of the float values."""
    code_low: float | None
    code_high: float | None
    """What the codes can stand for."""
    clipped: float | None
    """Share of the float values outside of that."""
    zeroed: float | None
    """Share of the float values that are not zero and whose code stands for zero."""
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
        """Whether it loses much of what it got, and matters for the scores; or loses them alone.

        What gets more noise than signal cannot go wrong any more.
        """
        drops = (
            self.lost_db >= DROP_DB
            and self.share_through >= MIN_SHARE_THROUGH
            and self.inherited_db > 0
        )
        return bool(self.operator) and (drops or self.share_added >= MAJOR_SHARE)


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

    def origin(self, tensor: TensorReport) -> TensorReport:
        """Where most of a tensor's noise arose: at itself, or at one that it was made of."""
        by_name = {each.name: each for each in self.tensors}
        if tensor.cause != "inputs":
            return tensor
        before, waiting = {tensor.name}, [tensor]
        while waiting:
            fresh = {name for name in waiting.pop().inputs if name not in before}
            before |= fresh
            waiting += [by_name[name] for name in fresh]
        return max((by_name[name] for name in sorted(before)), key=lambda each: each.share_added)

    @property
    def wrong(self) -> tuple[TensorReport, ...]:
        """Where it goes wrong, the first place first; empty where the scores are sound.

        Every operator that loses DROP_DB or more at once while MIN_SHARE_THROUGH of the scores'
        noise came through it, or at which MAJOR_SHARE of that noise arose; else, where the loss is
        spread over many, the place at which most of it arose.
        """
        if self.is_sound:
            return ()
        found = tuple(tensor for tensor in self.tensors if tensor.goes_wrong)
        return found or (max(self.tensors, key=lambda tensor: tensor.share_added),)


def inspect_files(
    runtime: Runtime,
    float_path: Path,
    float_form: InputForm,
    compressed_path: Path,
    compressed_form: InputForm,
    images: NDArray[np.uint8],
    rescaled: bool = False,
) -> Inspection:
    """Run both files on the same images and compare every tensor that both have.

    Args:
        float_path: what `compile` left.
        compressed_path: what `quantize` or `bake` made of it.
        images: uint8 (images, height, width, 3), of the training side.
        rescaled: the compressed file's channels were made larger or smaller before it was
            quantised (equalise, smooth): each is compared up to a factor, and weights are not.

    Raises:
        InputError: the files have no tensors in common, or take images of another size.
        DeviceError: the compressed file stops at an image.
    """
    run = _Run(runtime, (float_path, float_form), (compressed_path, compressed_form), images)
    tensor_stats = run.tensor_stats(run.factors() if rescaled else {})
    before = {} if rescaled else runtime.weights(float_path)
    after = {} if rescaled else runtime.weights(compressed_path)
    weights = {op: ratio(before[op], after[op]) for op in before.keys() & after.keys()}
    flow = NoiseFlow(run.made, tensor_stats, weights)
    return Inspection(
        runtime=runtime.name,
        images=len(images),
        per_channel=runtime.describe(compressed_path).per_channel,
        tensors=tuple(_reports(flow)),
        fused=len(run.made) - len(tensor_stats),
    )


class _Run:
    """Both files on all images; each pass runs them anew, since one image's tensors are held."""

    def __init__(
        self,
        runtime: Runtime,
        original: tuple[Path, InputForm],
        compressed: tuple[Path, InputForm],
        images: NDArray[np.uint8],
    ) -> None:
        self.runtime = runtime
        self.files = original, compressed
        self.images = images
        self.made, self.codes = (
            {activation.name: activation for activation in runtime.activations(path)}
            for path, _ in self.files
        )

    def pairs(self) -> Iterator[tuple[str, Values, Values]]:
        """What both files made of each image, tensor by tensor.

        Raises:
            InputError: a tensor has two shapes: one file was not made from the other.
        """
        files = (self.runtime.tensors(*file, self.images) for file in self.files)
        for original, compressed in image_by_image(zip(*files, strict=True)):
            known = self.made.keys() & self.codes.keys()
            for name in known & original.keys() & compressed.keys():
                if original[name].shape != compressed[name].shape:
                    raise self._no_pair()
                # A padded maximum begins with minus infinity.
                if original[name].size and np.isfinite(original[name]).all():
                    yield name, original[name], compressed[name]

    def tensor_stats(self, factors: dict[str, Values]) -> dict[str, TensorStats]:
        """What is kept of each tensor, in the order they are made.

        Raises:
            InputError: the files have fewer than two tensors in common.
        """
        found: dict[str, TensorStats] = {}
        for name, original, compressed in self.pairs():
            if name not in found:
                found[name] = TensorStats(self.codes[name], self._axis(name), factors.get(name))
            found[name].add(original, compressed)
        whole = {name for name, stats in found.items() if stats.images == len(self.images)}
        if len(whole) < 2:
            raise self._no_pair()
        return {name: found[name] for name in self.made if name in whole}

    def factors(self) -> dict[str, Values]:
        """How many times larger each channel is in the compressed file; those at either end are
        what they were."""
        found: dict[str, Factors] = {}
        for name, original, compressed in self.pairs():
            found.setdefault(name, Factors(self._axis(name))).add(original, compressed)
        ends = {name for name, each in self.made.items() if each.kind == "input"}
        ends.add([*self.made][-1])
        return {name: each.found() for name, each in found.items() if name not in ends}

    def _axis(self, name: str) -> int:
        is_image = self.made[name].kind == "input"
        return IMAGE_CHANNELS if is_image else self.runtime.channel_axis

    def _no_pair(self) -> InputError:
        (float_path, _), (path, _) = self.files
        return InputError(
            f"{path} was not made from {float_path}: their tensors are not the same",
            hint="the float file must be the one that the compressed file was made from",
        )


def _reports(flow: NoiseFlow) -> Iterator[TensorReport]:
    through = flow.share_through()
    for name, stats in flow.tensor_stats.items():
        activation, share, arriving = (
            flow.made[name],
            flow.shares[name],
            flow.noise_from_inputs[name],
        )
        inherited_db = decibels(sum(arriving.values()))
        added = (share.own + share.weights) / share.total if share.total else 0.0
        parts = {"codes": share.own, "weights": share.weights, "inputs": share.inherited}
        weights = flow.makers[name].weights if flow.makers[name].known else None
        yield TensorReport(
            name=name,
            operator=activation.operator,
            layer=activation.layer,
            kind=activation.kind,
            inputs=flow.makers[name].sources,
            sqnr_db=stats.sqnr_db,
            codes_db=stats.codes_db,
            weights_db=None if weights is None else decibels(weights),
            inherited_db=inherited_db,
            lost_db=min(inherited_db, EIGHT_BITS_DB) - stats.sqnr_db,
            noisiest=max(arriving, key=arriving.__getitem__, default=None),
            cause=max(CAUSES, key=parts.__getitem__),
            share_added=through[name] * added,
            share_through=through[name],
            low=stats.range[0],
            high=stats.range[1],
            code_low=stats.codes.low,
            code_high=stats.codes.high,
            clipped=stats.clipped_share,
            zeroed=stats.zeroed_share,
            clipping=stats.clipping_share,
            channels=stats.channels,
            dead=stats.dead[0],
            dead_in_float=stats.dead[1],
            spread=stats.channel_spread,
            deviation=stats.deviation,
            bias=stats.bias_share,
        )
