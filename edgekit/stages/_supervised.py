"""Training on augmented images and their labels, with or without a teacher's scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, model_validator

from edgekit.engine.action import Context
from edgekit.models.card import Card
from edgekit.models.source import Triple
from edgekit.stages._augment import Augment, augmentation, chw
from edgekit.stages._training import Trainer, Training, channels_last, divergence

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


class Supervised(Training):
    """The settings of a training on labels."""

    label_smoothing: float = Field(0.05, ge=0, lt=1)
    """Share of a label that is given to all classes alike."""
    mixup: float = Field(0.0, ge=0, le=100)
    """The alpha of mixup's beta distribution; 0 for none. It blends the images of a batch in
    pairs, so batch_size must be even."""
    augment: Augment = Augment()
    """Random changes to each training image."""

    @model_validator(mode="after")
    def _mixup_has_pairs(self) -> Supervised:
        if self.mixup and self.batch_size % 2:
            raise ValueError(f"mixup needs an even batch_size, not {self.batch_size}")
        return self


@dataclass(frozen=True)
class Teacher:
    """A frozen network whose scores the student learns from (Hinton et al. 2015)."""

    model: Any
    mean: Triple
    std: Triple
    weight: float
    """Share of the loss that is the divergence from the teacher."""
    temperature: float
    order: tuple[int, ...] = ()
    """Which of its scores is the student's first class, its second, ...; empty if they agree."""
    remark: str = ""
    """What was done to the names of its weights."""

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """From images as it was trained on, (batch, 3, height, width), to (batch, classes)."""
        scores: torch.Tensor = self.model(x)
        return scores[:, self.order] if self.order else scores


class SupervisedTrainer(Trainer):
    def __init__(
        self,
        name: str,
        training: Supervised,
        model: Any,
        card: Card,
        context: Context,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__(name, training, model, card, context)
        self.teacher = teacher
        self.mixes = bool(training.mixup)
        self.augment = augmentation(training.augment, card.image_size)
        self.mixup = _mixup(training, len(card.classes))
        if teacher:
            channels_last(teacher.model.eval().requires_grad_(False))
            old, new = (card.mean, card.std), (teacher.mean, teacher.std)
            self.regrade = renormalise(old, new)

    def batch_size(self, images: int) -> int:
        size = super().batch_size(images)
        return size - size % 2 if self.mixes else size

    def batch_loss(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], batch: NDArray[np.int64]
    ) -> torch.Tensor:
        import torch
        from torch.nn import functional as F

        x = self.pixels(torch.stack([self.augment(chw(images[j])) for j in batch]))
        x, target = self.mixup(x, torch.from_numpy(labels[batch]))
        scores = self.model(x)
        loss = F.cross_entropy(scores, target)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            taught = self.teacher.scores(self.regrade(x))
        weight, t = self.teacher.weight, self.teacher.temperature
        return (1 - weight) * loss + weight * t * t * divergence(scores, taught, t)


def renormalise(
    old: tuple[Triple, Triple], new: tuple[Triple, Triple]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """From pixels (batch, 3, height, width) normalised by one (mean, std) to those by another."""
    import torch

    if old == new:
        return lambda x: x
    mean, std = torch.tensor(old)[..., None, None]
    new_mean, new_std = torch.tensor(new)[..., None, None]
    return lambda x: (x * std + mean - new_mean) / new_std


def _mixup(training: Supervised, classes: int) -> Any:
    """timm's Mixup, which also smooths the labels; probability 0 leaves only the smoothing."""
    from timm.data import Mixup
    from torch.nn import functional as F

    if training.mixup:
        return Mixup(
            mixup_alpha=training.mixup,
            label_smoothing=training.label_smoothing,
            num_classes=classes,
        )

    def smooth(x: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        off = training.label_smoothing / classes
        return x, F.one_hot(target, classes) * (1 - training.label_smoothing) + off

    return smooth
