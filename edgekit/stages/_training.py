"""How a network is trained here: the settings of every training, and an epoch loop that resumes.

The last epoch's exponential moving average is the result; the validation split chooses nothing, so
the accuracy measured on it later is not flattered. What the average reaches on it after each epoch
is shown, as a curve. Every epoch is seeded on its own and leaves a checkpoint: a killed training
resumes and ends with the same weights as an undisturbed one.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgekit.engine.action import Context
from edgekit.engine.artifact import Json
from edgekit.errors import InputError
from edgekit.models import checkpoint
from edgekit.models.card import Card
from edgekit.models.training_curve import TrainingCurve
from edgekit.stages._curve_images import SPLIT, CurveImages

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

MAX_EPOCHS = 100_000
"""Ten times what the longest published trainings take: beyond it a number is a slip."""


class Training(BaseModel):
    """The settings of every training."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    epochs: int = Field(ge=1, le=MAX_EPOCHS)
    """Times that every training image is seen."""
    batch_size: int = Field(32, ge=2, le=65_536)
    """Images a step; all of them where there are fewer."""
    optimizer: str = "adamw"
    """Any optimizer of timm."""
    learning_rate: float = Field(3e-4, gt=0)
    """The highest, after the warm-up."""
    weight_decay: float = Field(0.02, ge=0, le=100)
    """How strongly weights are drawn to zero."""
    schedule: Literal["cosine", "tanh"] = "cosine"
    """The curve on which the learning rate falls."""
    warmup_epochs: int = Field(1, ge=0, le=MAX_EPOCHS)
    """Epochs in which the learning rate rises; unless given, none where there is one epoch only."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Decay of the moving average of the weights, per update; by default its window is the last
    tenth of the training."""
    seed: int = Field(0, ge=-(2**32), le=2**32)
    """Changes the order of the images and their random changes."""

    @property
    def amount(self) -> str:
        return f"{self.epochs} epochs"

    @model_validator(mode="after")
    def _warmup_ends(self) -> Training:
        if "warmup_epochs" in self.model_fields_set and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})"
            )
        return self


class Trainer(ABC):
    """The state of one training: what a checkpoint holds and how an epoch changes it."""

    def __init__(
        self, name: str, training: Training, model: Any, card: Card, context: Context
    ) -> None:
        """
        Args:
            name: where the settings stand in the recipe, for messages: finetune.

        Raises:
            InputError: timm knows no such optimizer.
        """
        from timm.optim import create_optimizer_v2
        from timm.utils import ModelEmaV3

        self.name = name
        self.training = training
        self.card = card
        self.context = context
        self.checkpoint = context.partial / "checkpoint.pt"
        self.epoch = 0
        self.losses: list[float] = []
        self.accuracies: list[float] = []
        self.shown_on: CurveImages | None = None
        self.model = channels_last(model)
        self.average = ModelEmaV3(self.model)
        try:
            self.optimizer = create_optimizer_v2(
                self.model, training.optimizer, training.learning_rate, training.weight_decay
            )
        except (AssertionError, ValueError) as error:
            raise InputError(f"{name}.optimizer: timm: {error}") from error

    @abstractmethod
    def batch_loss(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], batch: NDArray[np.int64]
    ) -> torch.Tensor:
        """The loss of the images whose indices are `batch`."""

    def batch_size(self, images: int) -> int:
        return min(self.training.batch_size, images)

    def run(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Any:
        """Train from the last checkpoint to the end, and return the averaged model.

        Args:
            images: uint8 (images, height, width, 3), from the training split.
            labels: int64 (images,).

        Raises:
            InputError: the loss became infinite or NaN. WeightsError: the weights did.
        """
        self.resume()
        while self.epoch < self.training.epochs:
            self.train_epoch(images, labels)
            if self.shown_on:
                shown = self.shown_on.accuracy(self.average.module, self.pixels)
                self.accuracies.append(shown)
            self.save_checkpoint()
        trained = self.average.module
        checkpoint.refuse_nan(trained.state_dict(), "the trained model")
        return trained

    @property
    def record(self) -> Json:
        """What the artifact says of the training."""
        return {"epochs": self.training.epochs, "loss": self.losses}

    @property
    def curve(self) -> TrainingCurve:
        """Loss and accuracy of each epoch."""
        shown = self.shown_on
        split, images = (SPLIT, len(shown.labels)) if shown else (None, 0)
        return TrainingCurve.of(self.losses, self.accuracies, split, images)

    def train_epoch(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        import torch

        training = self.training
        # One seed an epoch, so that resuming at any epoch repeats what would have happened.
        seed = training.seed * 100_003 + self.epoch
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # timm's Mixup draws from numpy's global generator
        order = torch.randperm(len(labels)).numpy()
        size = self.batch_size(len(labels))
        batches = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
        schedule = self._schedule(len(batches))
        updates = training.epochs * len(batches)
        self.average.decay = training.ema_decay or max(0.0, 1 - 10 / updates)
        total = 0.0
        self.model.train()
        for i, batch in enumerate(batches):
            update = self.epoch * len(batches) + i
            schedule.step_update(update)
            loss = self.batch_loss(images, labels, batch)
            if not torch.isfinite(loss):
                raise InputError(
                    f"{self.name}: the loss became {loss.item()} in epoch {self.epoch + 1}",
                    hint=f"lower {self.name}.learning_rate (now {training.learning_rate})",
                )
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step()
            self.average.update(self.model)
            total += float(loss.detach())
            note = f"epoch {self.epoch + 1}/{training.epochs}, loss {total / (i + 1):.3f}"
            if self.accuracies:
                note += f", {SPLIT} {self.accuracies[-1]:.1f} %"
            self.context.progress(update + 1, updates, note)
        self.losses.append(round(total / len(batches), 4))
        self.epoch += 1

    def save_checkpoint(self) -> None:
        import torch

        state = {
            "epoch": self.epoch,
            "losses": self.losses,
            "accuracies": self.accuracies,
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
        self.accuracies = state["accuracies"]
        self.model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])

    def pixels(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise uint8 (batch, 3, size, size) the way the shipped model will."""
        return normalised(x, self.card)

    def _schedule(self, updates_per_epoch: int) -> Any:
        from timm.scheduler import create_scheduler_v2

        schedule, _ = create_scheduler_v2(
            self.optimizer,
            sched=self.training.schedule,
            num_epochs=self.training.epochs,
            warmup_epochs=min(self.training.warmup_epochs, self.training.epochs - 1),
            warmup_lr=self.training.learning_rate / 100,
            min_lr=self.training.learning_rate / 100,
            step_on_epochs=False,
            updates_per_epoch=updates_per_epoch,
        )
        return schedule


def normalised(pixels: torch.Tensor, card: Card) -> torch.Tensor:
    """uint8 (batch, 3, height, width) as the model of the card takes them."""
    import torch

    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (card.mean, card.std))
    found: torch.Tensor = channels_last((pixels.float() / 255 - mean) / std)
    return found


def channels_last(value: Any) -> Any:
    import torch

    return value.to(memory_format=torch.channels_last)


def divergence(scores: torch.Tensor, taught: torch.Tensor, temperature: float) -> torch.Tensor:
    """Kullback-Leibler divergence of scores from a teacher's, both (images, classes), softened.
    Its gradient shrinks with the temperature squared: multiply by that (Hinton et al. 2015)."""
    from torch.nn import functional as F

    soft = F.softmax(taught / temperature, dim=1)
    own = F.log_softmax(scores / temperature, dim=1)
    return F.kl_div(own, soft, reduction="batchmean")
