"""Training images in two parts: those a stage learns from, and those that judge what it learned."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.artifact import Artifact
from edgekit.errors import DataError
from edgekit.models.card import Card

if TYPE_CHECKING:
    import torch

BATCH = 32
"""Images that are scored together."""


@dataclass(frozen=True)
class Halves:
    """The decoded training split, divided."""

    images: NDArray[np.uint8]
    """(images, height, width, 3), somewhat larger than the network's input."""
    labels: NDArray[np.int64]
    learned: NDArray[np.int64]
    """Indices of the images to learn from, in an order that follows from their content."""
    held: NDArray[np.int64]
    card: Card

    def views(self, indices: NDArray[np.int64], at_once: int = 1) -> Iterator[torch.Tensor]:
        """Images as the network will see them: whole, at its own size, normalised; each tensor is
        float32 (at_once, 3, height, width)."""
        import torch
        from torchvision.transforms import v2

        size = list(self.card.image_size)
        resize = v2.Resize(size, v2.InterpolationMode.BICUBIC, antialias=True)
        mean = torch.tensor(self.card.mean).view(3, 1, 1)
        std = torch.tensor(self.card.std).view(3, 1, 1)
        for i in range(0, len(indices), at_once):
            x = torch.from_numpy(self.images[indices[i : i + at_once]])
            x = resize(x.permute(0, 3, 1, 2))
            yield (x.float() / 255 - mean) / std

    @cached_property
    def _judged(self) -> torch.Tensor:
        import torch

        return torch.cat(list(self.views(self.held, BATCH)))

    def scores(self, model: Any) -> NDArray[np.float32]:
        """Of a torch module for the images that are held back: (images, classes)."""
        import torch

        with torch.no_grad():
            found = [model(x) for x in torch.split(self._judged, BATCH)]
        return np.asarray(torch.cat(found).numpy())


def hold_back(train: Artifact, card: Card, share: float) -> Halves:
    """Divide a decoded training split: of each class, a share is held back.

    Which images follows from their pixels alone, and copies of one image stay together, as they do
    when data is split.

    Args:
        share: of each class, 0 to 1; at least one image where there are two.

    Raises:
        DataError: nothing is left to learn from, or nothing to judge on.
    """
    images = np.load(train.file("images.npy"), mmap_mode="r")
    labels = np.load(train.file("labels.npy"))
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    held: set[str] = set()
    for label in np.unique(labels):
        own = sorted({digests[i] for i in np.flatnonzero(labels == label)})
        held |= set(own[: max(round(share * len(own)), int(len(own) > 1))])
    order = sorted(range(len(labels)), key=lambda i: digests[i])
    parts = [np.array([i for i in order if (digests[i] in held) == h], int) for h in (False, True)]
    if min(len(part) for part in parts) < 2:
        raise DataError(
            f"of {len(labels)} training images {len(parts[1])} would be held back to judge on, "
            f"which leaves {len(parts[0])} to learn from",
            hint="give more training images, or another share to hold back",
        )
    return Halves(images, labels, parts[0], parts[1], card)
