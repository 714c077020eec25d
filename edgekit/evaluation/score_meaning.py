"""What a classifier's scores are: asked of the scores themselves, as a graph's last operator is not
always where they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ScoreMeaning = Literal["logits", "probabilities", "independent"]
"""Any numbers, whose softmax are probabilities; numbers of 0..1 that add up to 1; or do not."""
TOLERANCE = 0.01


def meaning_of(scores: NDArray[np.float32]) -> ScoreMeaning:
    """
    Args:
        scores: (images, classes), of a float model.

    >>> import numpy as np
    >>> meaning_of(np.array([[0.2, 0.8]])), meaning_of(np.array([[-2.0, 3.0]]))
    ('probabilities', 'logits')
    """
    if scores.min() < -TOLERANCE or scores.max() > 1 + TOLERANCE:
        return "logits"
    adds_up = abs(scores.sum(axis=1) - 1).max() < TOLERANCE
    return "probabilities" if adds_up else "independent"
