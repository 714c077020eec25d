"""How a training went: loss and accuracy, epoch by epoch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

STRIP = 5
"""Epochs that are looked at together."""
MAX_PROGRESS = 50.0
"""Per mille by which the mean loss of the last epochs may exceed their least one in a training that
counts as converged. Prechelt stops at 0.1; with augmented batches the loss never lies so still."""


class EpochPoint(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    loss: float
    """Of the training, augmented and smoothed as it is: it tells the trend, and is no figure to
    compare with another training's."""
    accuracy: float | None = None
    """Percent of the images that are right, by the averaged weights."""


class TrainingCurve(BaseModel):
    """Looked at, and nothing chosen by it: the last epoch's averaged weights are the result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: tuple[EpochPoint, ...]
    split: str | None
    """What the accuracy is measured on; None where it is not."""
    images: int

    @classmethod
    def of(
        cls, losses: list[float], accuracies: list[float], split: str | None, images: int
    ) -> TrainingCurve:
        rest = [None] * (len(losses) - len(accuracies))
        both = zip(losses, [*rest, *accuracies], strict=True)
        points = tuple(
            EpochPoint(epoch=i, loss=loss, accuracy=right)
            for i, (loss, right) in enumerate(both, 1)
        )
        return cls(points=points, split=split, images=images)

    @property
    def losses(self) -> list[float]:
        return [point.loss for point in self.points]

    def followed_by(self, other: TrainingCurve) -> TrainingCurve:
        """This training, and one that went on from its weights."""
        done = len(self.points)
        later = [p.model_copy(update={"epoch": p.epoch + done}) for p in other.points]
        return self.model_copy(update={"points": (*self.points, *later)})

    def __str__(self) -> str:
        shown = [p.accuracy for p in self.points if p.accuracy is not None]
        if not shown:
            return f"loss {self.points[0].loss:.3f} to {self.points[-1].loss:.3f}"
        return (
            f"{self.split} accuracy {shown[0]:.1f} % after the first epoch, {shown[-1]:.1f} % "
            f"after {len(self.points)}, on {self.images} images"
        )


def not_converged(losses: list[float], setting: str) -> str | None:
    """Why a training that has ended should have gone on; None where nothing says so.

    Prechelt's training progress ("Early Stopping - But When?", 1998): by how many per mille the
    mean loss of a strip of epochs exceeds its least one. Large, with the least one last, it says
    that the loss was still falling. Of the training loss, so that no image that judges takes part.

    Args:
        losses: of each epoch, in order.
        setting: what sets the number of epochs, for the hint.
    """
    strip = losses[-STRIP:]
    if len(strip) < 2:
        return f"one epoch does not tell whether it has converged: raise {setting}"
    least = min(strip)
    progress = 1000 * (sum(strip) / len(strip) / least - 1) if least > 0 else 0.0
    if progress <= MAX_PROGRESS or strip[-1] > least:
        return None
    return (
        f"it has not converged: over the last {len(strip)} of {len(losses)} epochs the training "
        f"loss was {progress / 10:.1f} % above its least on average, and the last epoch's is the "
        f"least; more {setting} may win accuracy back"
    )
