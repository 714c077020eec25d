"""The training after a cut: its settings and its teacher."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.models.source import ModelSource
from edgekit.stages._supervised import Supervised, Teacher
from edgekit.stages._teacher import of_a_teacher, order_of
from edgekit.stages._training import MAX_EPOCHS


class Recover(Supervised):
    """The training after the cut; its teacher is the unpruned network."""

    epochs: int = Field(10, ge=1, le=MAX_EPOCHS)
    max_epochs: int | None = Field(None, ge=1, le=MAX_EPOCHS)
    """A training whose loss was still falling goes on from its weights, with as many epochs again
    and half the learning rate, while there are no more than this in all; twice `epochs` unless
    given."""
    step_epochs: int = Field(2, ge=1, le=MAX_EPOCHS)
    """Epochs after each cut but the last, where prune.steps is more than one."""
    weight: float = Field(0.8, ge=0, le=1)
    """Share of the loss that is the divergence from the teacher."""
    temperature: float = Field(2.0, gt=0, le=1000)
    """Divides both scores before they are compared: more softens them."""
    teacher: ModelSource | None = None
    """Another teacher than the unpruned network, where a better one is there."""

    @property
    def most_epochs(self) -> int:
        return 2 * self.epochs if self.max_epochs is None else self.max_epochs

    def again(self) -> Recover:
        """The training that goes on: other random changes, and smaller steps."""
        return self.model_copy(
            update={"learning_rate": self.learning_rate / 2, "seed": self.seed + 1}
        )

    @model_validator(mode="after")
    def _most_are_not_fewer(self) -> Recover:
        if self.most_epochs < self.epochs:
            raise ValueError(f"max_epochs ({self.max_epochs}) is below epochs ({self.epochs})")
        return self

    @field_validator("teacher")
    @classmethod
    def _knows_the_classes(cls, teacher: ModelSource | None) -> ModelSource | None:
        if teacher and (teacher.weights == "scratch" or teacher.head == "new"):
            raise ValueError("a teacher must be trained: neither weights: scratch nor head: new")
        if teacher and teacher.format != "torch":
            raise ValueError(f"a teacher is a timm model with weights, not {teacher.weights}")
        return teacher

    @model_validator(mode="after")
    def _the_teacher_is_heard(self) -> Recover:
        if self.teacher and not self.weight:
            raise ValueError("weight: 0 leaves the teacher unheard: remove teacher, or give weight")
        return self


def teacher_for(settings: Recover, dense: Any, card: Card) -> Teacher | None:
    """The unpruned network, or the one that the settings name; None where it has no weight.

    Raises:
        WeightsError: the teacher's weights do not fit, or it knows other classes than the data's.
    """
    weight, temperature = settings.weight, settings.temperature
    if not weight:
        return None
    source = settings.teacher
    if source is None:
        return Teacher(dense, card.mean, card.std, weight, temperature)
    return named_teacher(source, "prune.recover.teacher", card, weight, temperature)


def named_teacher(
    source: ModelSource, setting: str, card: Card, weight: float, temperature: float
) -> Teacher:
    """The teacher that a recipe names under `setting`, with scores in the data's order of classes.

    Raises:
        WeightsError: the teacher's weights do not fit, or it knows other classes than the data's.
    """
    with of_a_teacher(setting):
        order = order_of(source, card.classes)
        own, file = source.classes or card.classes, source.weights_file()
        notes: list[str] = []
        model, mean, std = timm_models.load(source, file, own, card.image_size, notes.append)
    return Teacher(model, mean, std, weight, temperature, order, "; ".join(notes))
