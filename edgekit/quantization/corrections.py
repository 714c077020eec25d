"""What can be done to a float model before it is quantised, so that int8 costs it less.

Every correction leaves a model of the same architecture with the names of its state dict, so that
each runtime compiles and quantises it as it would the original.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.engine.action import Progress
from edgekit.models.card import Card
from edgekit.quantization.equalization import equalise, layer_links, norm_links
from edgekit.quantization.fold_batch_norm import fold_batch_norm
from edgekit.quantization.rounding import correct_bias, layers, round_weights
from edgekit.runtimes.contract.compiled_metadata import Correction
from edgekit.runtimes.contract.input_form import InputForm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 8


def applicable(model: Any, card: Card) -> tuple[Correction, ...]:
    """The corrections that would change anything in a torch model."""
    folded = fold_batch_norm(model, card.image_size)
    found: list[Correction] = ["adaround", "bias"]
    if norm_links(folded, card.image_size):
        found.insert(0, "smooth")
    if layer_links(folded, card.image_size):
        found.insert(0, "equalise")
    return tuple(found)


def correct(
    model: Any,
    card: Card,
    images: NDArray[np.uint8],
    form: InputForm,
    corrections: tuple[Correction, ...],
    progress: Progress,
) -> Any:
    """A corrected copy of a torch model, its batch normalisation folded.

    Args:
        images: uint8 (images, height, width, 3), to calibrate on.
        form: how they are fed, which is that of the quantised input.
        corrections: applied in the order of `Correction`, whatever theirs is.
    """
    batches = _Batches(images, form)
    folded = fold_batch_norm(model, card.image_size)
    links = layer_links(folded, card.image_size) if "equalise" in corrections else []
    links += norm_links(folded, card.image_size) if "smooth" in corrections else []
    if links:
        progress(0, 1, "equalising channels")
        equalise(folded, links, batches)
    original = {name: layer.weight.data.clone() for name, layer in layers(folded).items()}
    if "adaround" in corrections:
        round_weights(folded, batches, lambda done, total: progress(done, total, "rounding"))
    if "bias" in corrections:
        progress(0, 1, "correcting biases")
        correct_bias(folded, card.image_size, batches, original)
    return folded


class _Batches:
    """Normalised images as torch takes them, anew at each turn."""

    def __init__(self, images: NDArray[np.uint8], form: InputForm) -> None:
        self.images = images
        self.form = form

    def __iter__(self) -> Any:
        import torch

        for i in range(0, len(self.images), BATCH):
            x = torch.from_numpy(self.form.prepare(self.images[i : i + BATCH]))
            yield x.permute(0, 3, 1, 2).contiguous()
