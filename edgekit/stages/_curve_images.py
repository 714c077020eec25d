"""Images that show how a training goes. Nothing is chosen by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.action import Inputs

if TYPE_CHECKING:
    import torch

SPLIT = "validation"
"""Never the test split, which is looked at once."""
BATCH = 32


@dataclass(frozen=True)
class CurveImages:
    images: NDArray[np.uint8]
    """(images, height, width, 3), as the network takes them."""
    labels: NDArray[np.int64]

    def accuracy(self, model: Any, pixels: Callable[[torch.Tensor], torch.Tensor]) -> float:
        """Percent that is right. Neither weights, batch statistics nor random state change.

        Args:
            pixels: normalises uint8 (batch, 3, height, width).
        """
        import torch

        trained, right = model.training, 0
        model.eval()
        with torch.no_grad():
            for i in range(0, len(self.labels), BATCH):
                batch = torch.from_numpy(np.array(self.images[i : i + BATCH]))
                named = model(pixels(batch.permute(0, 3, 1, 2))).argmax(dim=1).numpy()
                right += int(np.sum(named == self.labels[i : i + BATCH]))
        model.train(trained)
        return round(100 * right / len(self.labels), 2)


def curve_images(inputs: Inputs) -> CurveImages | None:
    """Of a stage's inputs; None where the data has no validation split."""
    found = inputs.get(SPLIT)
    if found is None:
        return None
    images = np.load(found.file("images.npy"), mmap_mode="r")
    return CurveImages(images, np.load(found.file("labels.npy")))
