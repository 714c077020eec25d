"""finetune: train the network on the training split, from scratch or from its weights.

The last epoch's exponential moving average is the result; the validation split chooses nothing,
so the accuracy measured on it later is not flattered. Every epoch is seeded on its own and leaves
a checkpoint: a killed training resumes and ends with the same weights as an undisturbed one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edgekit import models, weights
from edgekit.action import Context, Inputs
from edgekit.artifact import Json
from edgekit.errors import InputError
from edgekit.models import Card, ModelSource, Triple
from edgekit.stages.base import Stage

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


class Augment(BaseModel):
    """Random changes to each training image."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    scale: tuple[float, float] = Field((0.7, 1.0), strict=False)
    """Share of the area that the random crop keeps."""
    horizontal_flip: bool = True
    vertical_flip: bool = False
    rotate: float = Field(0.0, ge=0, le=180)
    """Largest rotation, in degrees."""
    brightness: float = Field(0.2, ge=0, lt=1)
    contrast: float = Field(0.2, ge=0, lt=1)
    erase: float = Field(0.0, ge=0, le=1)
    """Share of images of which a random rectangle is erased."""

    @field_validator("scale")
    @classmethod
    def _two_shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise ValueError(f"two shares expected, the smaller first, not {list(value)}")
        return value


class Distill(BaseModel):
    """Learn from a teacher's scores as well as from the labels (Hinton et al. 2015)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    teacher: ModelSource
    weight: float = Field(0.8, gt=0, le=1)
    """Share of the loss that is the divergence from the teacher."""
    temperature: float = Field(2.0, gt=0)

    @field_validator("teacher")
    @classmethod
    def _knows_the_classes(cls, teacher: ModelSource) -> ModelSource:
        if teacher.weights == "scratch" or teacher.head == "new":
            raise ValueError("a teacher must be trained: neither weights: scratch nor head: new")
        if teacher.format != "torch":
            raise ValueError(f"a teacher is a timm model with weights, not {teacher.weights}")
        return teacher


class Finetune(Stage):
    scope: ClassVar[Literal["trunk", "runtime"]] = "trunk"
    trains: ClassVar[bool] = True
    images: ClassVar[Literal["train", "calibration"] | None] = "train"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "timm", "torchvision")

    stage: Literal["finetune"] = "finetune"
    epochs: int = Field(ge=1)
    batch_size: int = Field(32, ge=2)
    optimizer: str = "adamw"
    """Any optimizer of timm."""
    learning_rate: float = Field(3e-4, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    schedule: Literal["cosine", "tanh"] = "cosine"
    warmup_epochs: int = Field(1, ge=0)
    """Epochs in which the learning rate rises; unless given, none where there is one epoch only."""
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0)
    """The alpha of mixup's beta distribution; 0 for none. It blends the images of a batch in
    pairs, so batch_size must be even."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Decay of the moving average of the weights, per update; by default its window is the last
    tenth of the training."""
    augment: Augment = Augment()
    distill: Distill | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _settings_fit(self) -> Finetune:
        if self.mixup and self.batch_size % 2:
            raise ValueError(f"mixup needs an even batch_size, not {self.batch_size}")
        if "warmup_epochs" in self.model_fields_set and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})"
            )
        return self

    def settings(self) -> Json:
        fields = super().settings()
        if self.distill:
            fields["distill"]["version"] = 2  # the teacher's own normalisation and class check
            if self.distill.teacher.is_file:
                # The path does not matter; files() brings the content's digest into the key.
                del fields["distill"]["teacher"]["weights"]
        return fields

    def files(self, base: Path) -> dict[str, Path]:
        teacher = self.distill.teacher.weights_file(base) if self.distill else None
        return {"teacher": teacher} if teacher else {}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        model, card = models.restore(inputs["model"])
        images = np.load(inputs["train"].file("images.npy"), mmap_mode="r")
        labels = np.load(inputs["train"].file("labels.npy"))
        trainer = _Trainer(self, model, card, context)
        trainer.resume()
        while trainer.epoch < self.epochs:
            trainer.train_epoch(images, labels)
            trainer.save_checkpoint()
        trained = trainer.average.module
        weights.refuse_nan(trained.state_dict(), "the trained model")
        metadata = models.save(trained, card, into)
        return {**metadata, "training": {"epochs": self.epochs, "loss": trainer.losses}}


class _Trainer:
    """The state of one training: what a checkpoint holds and how an epoch changes it."""

    def __init__(self, stage: Finetune, model: Any, card: Card, context: Context) -> None:
        from timm.optim import create_optimizer_v2
        from timm.utils import ModelEmaV3

        self.stage = stage
        self.card = card
        self.context = context
        self.checkpoint = context.partial / "checkpoint.pt"
        self.epoch = 0
        self.losses: list[float] = []
        self.model = _channels_last(model)
        self.average = ModelEmaV3(self.model)
        try:
            self.optimizer = create_optimizer_v2(
                self.model, stage.optimizer, stage.learning_rate, stage.weight_decay
            )
        except (AssertionError, ValueError) as error:
            raise InputError(f"finetune.optimizer: timm: {error}") from error
        self.teacher, self.regrade = self._teacher()

    def train_epoch(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        import torch

        stage = self.stage
        # One seed an epoch, so that resuming at any epoch repeats what would have happened.
        seed = stage.seed * 100_003 + self.epoch
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # timm's Mixup draws from numpy's global generator
        order = torch.randperm(len(labels)).numpy()
        size = min(stage.batch_size, len(labels))
        if stage.mixup:
            size -= size % 2
        batches = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
        schedule = self._schedule(len(batches))
        self.average.decay = stage.ema_decay or max(0.0, 1 - 10 / (stage.epochs * len(batches)))
        augment = _augmentation(stage.augment, self.card.image_size)
        mixup = _mixup(stage, len(self.card.classes))
        total = 0.0
        self.model.train()
        for i, batch in enumerate(batches):
            update = self.epoch * len(batches) + i
            schedule.step_update(update)
            x = self._pixels(torch.stack([augment(_chw(images[j])) for j in batch]))
            x, target = mixup(x, torch.from_numpy(labels[batch]))
            loss = self._loss(x, target)
            if not torch.isfinite(loss):
                raise InputError(
                    f"finetune: the loss became {loss.item()} in epoch {self.epoch + 1}",
                    hint=f"lower finetune.learning_rate (now {stage.learning_rate})",
                )
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.average.update(self.model)
            total += float(loss.detach())
            note = f"epoch {self.epoch + 1}/{stage.epochs}, loss {total / (i + 1):.3f}"
            self.context.progress(update + 1, stage.epochs * len(batches), note)
        self.losses.append(round(total / len(batches), 4))
        self.epoch += 1

    def save_checkpoint(self) -> None:
        import torch

        state = {
            "epoch": self.epoch,
            "losses": self.losses,
            "model": self.model.state_dict(),
            "average": self.average.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        part = self.checkpoint.with_suffix(".part")
        with part.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, self.checkpoint)

    def resume(self) -> None:
        import torch

        if not self.checkpoint.exists():
            return
        try:
            state = torch.load(self.checkpoint, weights_only=True)
        except Exception:  # whatever zip and pickle raise at a damaged file: train from the start
            return
        self.epoch, self.losses = state["epoch"], state["losses"]
        self.model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _loss(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn import functional as F

        scores = self.model(x)
        loss = F.cross_entropy(scores, target)
        if self.teacher is None or self.stage.distill is None:
            return loss
        weight, t = self.stage.distill.weight, self.stage.distill.temperature
        with torch.no_grad():
            taught = F.softmax(self.teacher(self.regrade(x)) / t, dim=1)
        divergence = F.kl_div(F.log_softmax(scores / t, dim=1), taught, reduction="batchmean")
        return (1 - weight) * loss + weight * t * t * divergence

    def _pixels(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise uint8 (batch, 3, size, size) the way the shipped model will."""
        import torch

        mean = torch.tensor(self.card.mean).view(3, 1, 1)
        std = torch.tensor(self.card.std).view(3, 1, 1)
        normalised: torch.Tensor = _channels_last((x.float() / 255 - mean) / std)
        return normalised

    def _schedule(self, updates_per_epoch: int) -> Any:
        from timm.scheduler import create_scheduler_v2

        schedule, _ = create_scheduler_v2(
            self.optimizer,
            sched=self.stage.schedule,
            num_epochs=self.stage.epochs,
            warmup_epochs=min(self.stage.warmup_epochs, self.stage.epochs - 1),
            warmup_lr=self.stage.learning_rate / 100,
            min_lr=self.stage.learning_rate / 100,
            step_on_epochs=False,
            updates_per_epoch=updates_per_epoch,
        )
        return schedule

    def _teacher(self) -> tuple[Any, Callable[[torch.Tensor], torch.Tensor]]:
        """The teacher, and what turns the student's normalised pixels into the teacher's."""
        if self.stage.distill is None:
            return None, lambda x: x
        source = self.stage.distill.teacher
        file = source.weights_file(self.context.base)
        teacher, mean, std = models.load(source, file, self.card.classes, self.card.image_size)
        regrade = renormalise((self.card.mean, self.card.std), (mean, std))
        return _channels_last(teacher.eval().requires_grad_(False)), regrade


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


def _augmentation(augment: Augment, image_size: int) -> Any:
    import torch
    from torchvision.transforms import v2

    steps: list[Any] = []
    if augment.rotate:
        bilinear = v2.InterpolationMode.BILINEAR
        steps.append(v2.RandomRotation(augment.rotate, bilinear, fill=0))
    steps.append(v2.RandomResizedCrop(image_size, augment.scale, (0.9, 1.1), antialias=True))
    if augment.horizontal_flip:
        steps.append(v2.RandomHorizontalFlip())
    if augment.vertical_flip:
        steps.append(v2.RandomVerticalFlip())
    if augment.brightness or augment.contrast:
        steps.append(v2.ColorJitter(augment.brightness, augment.contrast))
    if augment.erase:
        steps.append(v2.RandomErasing(augment.erase, value=128))
    steps.append(v2.ToDtype(torch.uint8))
    return v2.Compose(steps)


def _mixup(stage: Finetune, classes: int) -> Any:
    """timm's Mixup, which also smooths the labels; probability 0 leaves only the smoothing."""
    from timm.data import Mixup
    from torch.nn import functional as F

    if stage.mixup:
        return Mixup(
            mixup_alpha=stage.mixup, label_smoothing=stage.label_smoothing, num_classes=classes
        )

    def smooth(x: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        off = stage.label_smoothing / classes
        return x, F.one_hot(target, classes) * (1 - stage.label_smoothing) + off

    return smooth


def _channels_last(value: Any) -> Any:
    import torch

    return value.to(memory_format=torch.channels_last)


def _chw(image: NDArray[np.uint8]) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
