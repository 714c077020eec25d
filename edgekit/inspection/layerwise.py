"""Where a compressed file parts from its float original: tensor by tensor, on real images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.confinement import image_by_image
from edgekit.errors import InputError
from edgekit.inspection.noise_flow import NoiseFlow, decibels, ratio
from edgekit.inspection.tensor_report import CAUSES, EIGHT_BITS_DB, Inspection, TensorReport
from edgekit.inspection.tensor_stats import Factors, TensorStats, Values
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.input_form import InputForm

IMAGE_CHANNELS = 3
"""The axis of the image's channels, in every runtime."""


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
