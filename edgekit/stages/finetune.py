"""finetune: train the network on the training split, from scratch or from its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from edgekit.engine.action import Context, Inputs
from edgekit.engine.artifact import Json
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.models.float_metadata import FloatMetadata
from edgekit.models.source import ModelSource
from edgekit.models.swish import SwishSubstitute, replace_swish
from edgekit.stages._curve_images import SPLIT, CurveImages, curve_images
from edgekit.stages._recover import named_teacher
from edgekit.stages._supervised import Supervised, SupervisedTrainer, Teacher
from edgekit.stages._training import normalised
from edgekit.stages.base import Stage


class Distill(BaseModel):
    """Learn from a teacher's scores as well as from the labels (Hinton et al. 2015)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    teacher: ModelSource
    """A timm model that knows the data's classes."""
    weight: float = Field(0.8, gt=0, le=1)
    """Share of the loss that is the divergence from the teacher."""
    temperature: float = Field(2.0, gt=0, le=1000)
    """Divides both scores before they are compared: more softens them."""

    @field_validator("teacher")
    @classmethod
    def _knows_the_classes(cls, teacher: ModelSource) -> ModelSource:
        if teacher.weights == "scratch" or teacher.head == "new":
            raise ValueError("a teacher must be trained: neither weights: scratch nor head: new")
        if teacher.format != "torch":
            raise ValueError(f"a teacher is a timm model with weights, not {teacher.weights}")
        return teacher


class Finetune(Supervised, Stage):
    trains: ClassVar[bool] = True
    images: ClassVar[Literal["train", "calibration"] | None] = "train"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "timm", "torchvision")

    version: ClassVar[int] = 2

    stage: Literal["finetune"] = "finetune"
    distill: Distill | None = None
    """A teacher's scores to learn from besides the labels; none by default."""
    activation: SwishSubstitute | None = None
    """What takes the place of swish before the training. The sigmoid of squeeze-and-excitation
    then becomes a hard-sigmoid. relu6 costs no time, as it is part of the layer before it; LiteRT
    computes hard_swish in float."""

    @property
    def shows_curve(self) -> bool:
        return True

    def settings(self) -> Json:
        fields = super().settings()
        if self.activation is None:  # a training without it has the key that it always had
            del fields["activation"]
        if self.distill:
            fields["distill"]["version"] = 3  # the teacher's own normalisation and class order
            if self.distill.teacher.is_file:
                # The path does not matter; files() brings the content's digest into the key.
                del fields["distill"]["teacher"]["weights"]
        return fields

    def files(self) -> dict[str, Path]:
        key = "finetune.distill.teacher.weights"
        teacher = self.distill.teacher.weights_file(key) if self.distill else None
        return {"teacher": teacher} if teacher else {}

    def teachers(self) -> dict[str, ModelSource]:
        return {"finetune.distill.teacher": self.distill.teacher} if self.distill else {}

    def run(self, inputs: Inputs, into: Path, context: Context) -> FloatMetadata:
        model, card = timm_models.restore(inputs["model"])
        images = np.load(inputs["train"].file("images.npy"), mmap_mode="r")
        labels = np.load(inputs["train"].file("labels.npy"))
        teacher, shown_on = self._teacher(card), curve_images(inputs)
        remarks = [teacher.remark] if teacher else []
        if self.activation:
            remarks.append(_swapped(model, card, self.activation, shown_on))
            card = card.model_copy(update={"activation": self.activation})
        trainer = SupervisedTrainer("finetune", self, model, card, context, teacher)
        trainer.shown_on = shown_on
        metadata = timm_models.save(trainer.run(images, labels), card, into)
        if self.activation and trainer.accuracies:
            remarks[-1] += f", {trainer.accuracies[-1]:.1f} % after the training"
        remark = "; ".join(filter(None, remarks)) or None
        return metadata.updated(training=trainer.record, remark=remark, curve=trainer.curve)

    def _teacher(self, card: Card) -> Teacher | None:
        distill = self.distill
        if distill is None:
            return None
        setting = "finetune.distill.teacher"
        return named_teacher(distill.teacher, setting, card, distill.weight, distill.temperature)


def _swapped(
    model: Any, card: Card, substitute: SwishSubstitute, shown_on: CurveImages | None
) -> str:
    """Replace swish, and what that did before any training."""

    def accuracy() -> str:
        right = shown_on and shown_on.accuracy(model, lambda x: normalised(x, card))
        return f"{right:.1f} %"

    before = shown_on and accuracy()
    swishes, gates = replace_swish(model, substitute)
    line = f"{substitute} took the place of swish {swishes} times"
    line += f", hard-sigmoid that of a sigmoid gate {gates} times" if gates else ""
    return line + f": {SPLIT} accuracy {before} before, {accuracy()} swapped" if shown_on else line
