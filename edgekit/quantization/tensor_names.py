"""Which tensors of a compiled float model are which tensors of the torch model it was made of.

A converter renames, fuses and turns layouts round, so tensors are recognised by their values: the
same images run through both, and two tensors are the same if the same values are in them, in
whatever order.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.size import Size
from edgekit.quantization.fake_quant import tensors
from edgekit.quantization.ranges import Range
from edgekit.quantization.trace import trace
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.input_form import InputForm

if TYPE_CHECKING:
    import torch

TensorsByName = dict[str, NDArray[np.float32]]
PROBE_IMAGES = 2
"""Images; that both agree is no accident."""
BLOCK_PIXELS = 8
TOLERANCE = 1e-3
"""Of the largest value: two runtimes add up the same numbers in another order."""


def same_ranges(
    model: Any, runtime: Runtime, path: Path, form: InputForm, ranges: dict[str, Range]
) -> dict[str, Range]:
    """Ranges of a torch model's quantizer positions, by the tensors' names in a compiled model.

    Args:
        model: the torch model in eval mode, whose quantizer positions the ranges belong to.
        path: the float file that the runtime's `compile` made of it.
        form: of that file's input.

    Returns:
        a range for each tensor that holds what a position holds; several may be one position, as
        a reshaped tensor is. Where a converter left no such tensor, its position is missing.
    """
    size = _image_size(runtime, path)
    images = probes(size)
    planes = _planes(form.prepare(images))
    held = list(tensors(model, trace(model, size), planes))
    made = list(runtime.tensors(path, form, images))
    found = matching_names([{n: v for n, v in p.items() if n in ranges} for p in held], made)
    return {name: ranges[position] for name, position in found.items()}


def matching_names(positions: list[TensorsByName], made: list[TensorsByName]) -> dict[str, str]:
    """The quantizer position of each tensor that has one, by the tensor's name.

    Args:
        positions, made: values by name, one dictionary for each image.
    """
    known = [{name: np.sort(v, axis=None) for name, v in image.items()} for image in positions]
    by_size: dict[int, list[str]] = {}
    for name, values in known[0].items():
        by_size.setdefault(values.size, []).append(name)
    found = {}
    for name, values in made[0].items():
        candidates = by_size.get(values.size, [])
        tensor = [np.sort(image[name], axis=None) for image in made] if candidates else []
        for position in candidates:
            if all(_same(k[position], t) for k, t in zip(known, tensor, strict=True)):
                found[name] = position
                break
    return found


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    limit = float(max(abs(one[0]), abs(one[-1])))
    return bool(np.abs(one - other).max() <= TOLERANCE * limit)


def probes(size: Size) -> NDArray[np.uint8]:
    """Noisy blocks, uint8 (images, height, width, 3): every tensor holds something else."""
    rng = np.random.default_rng(0)
    counts = (-(-side // BLOCK_PIXELS) for side in size)
    blocks = rng.integers(20, 236, (PROBE_IMAGES, *counts, 3))
    large = blocks.repeat(BLOCK_PIXELS, axis=1).repeat(BLOCK_PIXELS, axis=2)
    smooth = large[:, : size.height, : size.width]
    noisy: NDArray[np.uint8] = (smooth + rng.integers(-20, 21, smooth.shape)).astype(np.uint8)
    return noisy


def _planes(images: NDArray[Any]) -> Iterable[torch.Tensor]:
    import torch

    for image in images:
        yield torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


def _image_size(runtime: Runtime, path: Path) -> Size:
    return Size(*runtime.describe(path).input.shape[1:3])
