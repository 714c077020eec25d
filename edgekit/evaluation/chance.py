"""Whether a float model has learned anything: what compression keeps of it says nothing otherwise.

One rule for builds and the matrix: accuracy is held against the share of the commonest class, the
"no information rate" of R's caret (Kuhn 2008), by its one-sided exact binomial test.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from edgekit import stats
from edgekit.evaluation.metrics import Validation
from edgekit.evidence import Measurement

MORE_IMAGES = "judge on more images: raise data.validation_share, or add some"
TRAIN_MORE = (
    "train for more epochs, or with another learning_rate (ten times more or less); in few epochs "
    "the averaged weights, which are what is judged, stay behind: ema_decay: 0.9 shortens the "
    "average; or give more images"
)
CHECK_MODEL = (
    "see whether model.classes has the order of the model's scores, and whether its input is as it "
    "was trained (model.input_range, data.fit{size})"
)


class ChanceTest(BaseModel):
    """A float model's top-1 against naming the commonest class each time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top1: Measurement
    commonest: float
    """Percent of the images whose class is the commonest."""
    p_value: float

    @property
    def is_trained(self) -> bool:
        return self.p_value < 1 - stats.CONFIDENCE

    @property
    def is_decidable(self) -> bool:
        """Whether a model that is right on every image would be shown to be better."""
        images = self.top1.samples or 0
        return bool(images) and stats.exceeds(images, images, self.commonest / 100) < (
            1 - stats.CONFIDENCE
        )

    def advice(self, trains: bool, other_weights: str = "", tells_size: bool = True) -> str:
        """What may help.

        Args:
            trains: the recipe trains the model.
            other_weights: that its checkpoint holds a second set, and how to take that.
            tells_size: the model's file says which size of image it takes.
        """
        if not self.is_decidable:
            return MORE_IMAGES
        if trains:
            return TRAIN_MORE
        check = CHECK_MODEL.format(size="" if tells_size else ", data.image_size")
        return f"{other_weights}; or {check}" if other_weights else check

    def __str__(self) -> str:
        top1 = self.top1
        if not self.is_decidable:
            return (
                f"untrained: {top1.samples} images are too few to show that the float model has "
                "learned anything: were all of them right, always naming the commonest class, "
                f"which is right for {self.commonest:.1f} %, would do so by chance as well: judge "
                "on more images"
            )
        return (
            f"untrained: the float model's top-1 of {top1.value:.1f} % ({top1.low:.1f} to "
            f"{top1.high:.1f}) on {top1.samples} images is not significantly better than always "
            f"naming the commonest class, which is right for {self.commonest:.1f} % (one-sided "
            f"binomial test, p = {self.p_value:.2f}): nothing can be concluded from what "
            "compression keeps of it"
        )


def held_to_chance(top1: Measurement, commonest: float) -> ChanceTest:
    """
    Args:
        top1: percent, with the number of images.
        commonest: percent of them whose class is the commonest.
    """
    images = top1.samples or 0
    right = round(top1.value / 100 * images)
    p_value = stats.exceeds(right, images, commonest / 100) if images else 1.0
    return ChanceTest(top1=top1, commonest=commonest, p_value=p_value)


def chance_test(validation: Validation) -> ChanceTest:
    """Of a float model, on the images that judged it."""
    counts = [share.samples or 0 for share in validation.recall.values()]
    return held_to_chance(validation.top1, 100 * max(counts) / sum(counts))
