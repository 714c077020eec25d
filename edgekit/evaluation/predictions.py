"""Which images a build was judged on, and what a model said of each: what pairs two reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgekit.evaluation.columns import column
from edgekit.evaluation.score_meaning import ScoreMeaning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGEST = 16
"""Characters of an image's sha256: enough to tell those of a data set apart."""


DIGITS = 3
"""Of a probability."""


COLUMN = column(lambda value: f"{value:.{DIGITS}f}" if isinstance(value, float) else str(value))
Class = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ShortDigest = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{DIGEST}}}$")]


class JudgedImages(BaseModel):
    """Those that could be read of the split that judges, in the order of all `predictions`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...]
    digests: Annotated[tuple[ShortDigest, ...], *COLUMN]
    """Of each file's content, the first characters of its sha256."""
    labels: Annotated[tuple[Class, ...], *COLUMN]
    """Places in the list of classes."""

    @model_validator(mode="after")
    def _all_of_each(self) -> JudgedImages:
        if not len(self.names) == len(self.digests) == len(self.labels):
            raise ValueError("as many names, digests and labels expected")
        if len(set(self.digests)) < len(self.digests):
            raise ValueError("an image counts once, and a digest stands here twice")
        return self


class Predictions(BaseModel):
    """What a model says of each image."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    classes: Annotated[tuple[Class, ...], *COLUMN]
    """The class of the highest score, as a place in the list of classes."""
    probabilities: Annotated[tuple[Share, ...], *COLUMN]
    """Of that class."""

    @model_validator(mode="after")
    def _all_of_each(self) -> Predictions:
        if len(self.classes) != len(self.probabilities):
            raise ValueError("as many classes and probabilities expected")
        return self


def predictions_of(scores: NDArray[np.float32], meaning: ScoreMeaning) -> Predictions:
    """
    Args:
        scores: (images, classes).

    >>> import numpy as np
    >>> predictions_of(np.array([[0.0, np.log(3)], [0.0, -9.0]]), "logits").model_dump()
    {'classes': '1 0', 'probabilities': '0.750 1.000'}
    """
    import numpy as np

    probable = scores.astype(float)
    if meaning == "logits":
        # Less the largest, or exp of a large score would overflow; their ratios stay.
        odds = np.exp(probable - probable.max(axis=1, keepdims=True))
        probable = odds / odds.sum(axis=1, keepdims=True)
    return Predictions(
        classes=tuple(scores.argmax(axis=1).tolist()),
        probabilities=tuple(probable.max(axis=1).clip(0, 1).round(DIGITS).tolist()),
    )
