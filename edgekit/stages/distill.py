"""distill: train the network on a teacher's scores of fixed views, which the store keeps.

The teacher is any timm model that knows the data's classes, or a frozen backbone (DINOv2, CLIP,
EVA, ...) with a linear head fitted on the training images. Its scores are a step of their own, so
another student, or another learning rate, costs no teacher time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from edgekit.data.size import Sides, Size
from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Artifact, Json
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.models.float_metadata import FloatMetadata
from edgekit.models.source import TORCHVISION, ModelSource
from edgekit.stages._augment import Views
from edgekit.stages._curve_images import curve_images
from edgekit.stages._teacher import SCORES_FILE, HeadKind, TeacherMetadata, TeacherScores
from edgekit.stages._training import Trainer, Training, divergence
from edgekit.stages.base import Stage

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

SCORES = "teacher-scores"


class Distillation(Training, Stage):
    trains: ClassVar[bool] = True
    images: ClassVar[Literal["train", "calibration"] | None] = "train"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "timm", "torchvision")

    version: ClassVar[int] = 2

    stage: Literal["distill"] = "distill"
    teacher: ModelSource
    """The network whose scores are learned."""
    head: HeadKind = "keep"
    """`keep`: the teacher's own classifier, of the data's classes. `linear`: a logistic regression
    on its features, fitted on the training images."""
    teacher_image_size: Annotated[Size, Sides(16, 2048)] | None = None
    """What the views are resized to for the teacher; by default it sees data.image_size."""
    views: Views = Views()
    """The fixed random views that teacher and student see."""
    weight: float = Field(0.9, gt=0, le=1)
    """Share of the loss that is the divergence from the teacher; the rest is the labels' cross
    entropy."""
    temperature: float = Field(2.0, gt=0, le=1000)
    """Divides both scores before they are compared: more softens them."""

    @model_validator(mode="after")
    def _the_teacher_can_teach(self) -> Distillation:
        teacher = self.teacher
        if teacher.weights == "scratch" or teacher.head == "new":
            raise ValueError("a teacher must be trained: neither weights: scratch nor head: new")
        if teacher.format != "torch":
            raise ValueError(f"a teacher is a timm model with weights, not {teacher.weights}")
        if self.head == "linear" and teacher.classes:
            raise ValueError("a linear head has the data's classes: remove teacher.classes")
        if self.head == "linear" and teacher.arch.startswith(TORCHVISION):
            raise ValueError(f"a linear head needs a model of timm, not {teacher.arch}")
        return self

    @property
    def shows_curve(self) -> bool:
        return True

    def settings(self) -> Json:
        fields = super().settings()
        if self.teacher.is_file:
            # The path does not matter; files() brings the content's digest into the key.
            del fields["teacher"]["weights"]
        return fields

    def files(self) -> dict[str, Path]:
        file = self.teacher.weights_file("distill.teacher.weights")
        return {"teacher": file} if file else {}

    def teachers(self) -> dict[str, ModelSource]:
        return {"distill.teacher": self.teacher}

    def split_steps(self, image_size: Size) -> dict[str, Action]:
        size = self.teacher_image_size
        scores = TeacherScores(self.teacher, self.head, self.views, image_size, size)
        return {SCORES: scores}

    def run(self, inputs: Inputs, into: Path, context: Context) -> FloatMetadata:
        model, card = timm_models.restore(inputs["model"])
        images = np.load(inputs["train"].file("images.npy"), mmap_mode="r")
        labels = np.load(inputs["train"].file("labels.npy"))
        student = _Student(self, model, card, context, inputs[SCORES])
        student.shown_on = curve_images(inputs)
        metadata = timm_models.save(student.run(images, labels), card, into)
        teacher = inputs[SCORES].described_by(TeacherMetadata)
        record = {**student.record, "teacher": teacher.record()}
        return metadata.updated(training=record, remark=teacher.remark, curve=student.curve)


class _Student(Trainer):
    """Sees in each epoch one view of every image, and what the teacher said of that view."""

    def __init__(
        self, stage: Distillation, model: Any, card: Card, context: Context, scores: Artifact
    ) -> None:
        super().__init__(stage.stage, stage, model, card, context)
        self.weight, self.temperature = stage.weight, stage.temperature
        self.count = stage.views.count
        self.view_of = stage.views.maker(card.image_size)
        self.scores = np.load(scores.file(SCORES_FILE), mmap_mode="r")

    def batch_loss(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], batch: NDArray[np.int64]
    ) -> torch.Tensor:
        import torch
        from torch.nn import functional as F

        view = self.epoch % self.count
        seen = torch.stack([self.view_of(images[i], view, int(i)) for i in batch])
        taught = torch.from_numpy(self.scores[view, batch])
        scores = self.model(self.pixels(seen))
        labelled = F.cross_entropy(scores, torch.from_numpy(labels[batch]))
        weight, t = self.weight, self.temperature
        return (1 - weight) * labelled + weight * t * t * divergence(scores, taught, t)
