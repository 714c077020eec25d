"""qat: train on under simulated int8, so that the weights learn to live on their grid.

Batch normalisation is folded from the first step, activation ranges start from those of
post-training quantisation, learn, and are frozen for the rest, and the network learns from its own
float scores. Whether that beats plain post-training quantisation is judged in simulation on
training images that are held back from it; where it does not, the weights before it are kept, and
the report says so.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edgekit.data.size import Size
from edgekit.engine.action import Context, Inputs
from edgekit.models import timm_models
from edgekit.models.float_metadata import FloatMetadata
from edgekit.quantization import fake_quant
from edgekit.quantization.fold_batch_norm import fold_batch_norm, pairs
from edgekit.quantization.paired_check import paired_check
from edgekit.quantization.trace import trace
from edgekit.stages._curve_images import curve_images
from edgekit.stages._held_back import Halves, hold_back
from edgekit.stages._supervised import Supervised, SupervisedTrainer, Teacher
from edgekit.stages.base import MAX_SAMPLES, Stage

if TYPE_CHECKING:
    import torch


class SelfDistill(BaseModel):
    """Learn from the scores of the float network that it was (Hinton et al. 2015)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    weight: float = Field(1.0, gt=0, le=1)
    """Share of the loss that is the divergence from the float network; the rest is the labels',
    which teach what finetune has taught already, and more of it is overfitting."""
    temperature: float = Field(1.0, gt=0, le=1000)
    """Divides both scores before they are compared: more softens them."""


class Qat(Supervised, Stage):
    distils: ClassVar[bool] = True
    is_final: ClassVar[bool] = True
    images: ClassVar[Literal["train", "calibration"] | None] = "train"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "timm", "torchvision")

    version: ClassVar[int] = 2

    stage: Literal["qat"] = "qat"
    learning_rate: float = Field(1e-4, gt=0)
    """The highest, after the warm-up: lower than finetune's, as it only adapts."""
    weight_decay: float = Field(0.0, ge=0, le=100)
    distill: SelfDistill | None = SelfDistill()
    """How it learns from the float network's scores; null for the labels alone."""
    calibration: Literal["minmax", "moving_average", "percentile", "mse"] = "mse"
    """How the activation ranges are found that training starts from."""
    samples: int = Field(128, ge=1, le=MAX_SAMPLES)
    """Training images that they are found on."""
    freeze_ranges: float = Field(0.5, ge=0, le=1)
    """Share of the epochs after which the ranges stay what they are."""
    held_back: float = Field(0.15, gt=0, lt=1)
    """Share of the training images that it never trains on, and is judged on."""

    @property
    def shows_curve(self) -> bool:
        return True

    def run(self, inputs: Inputs, into: Path, context: Context) -> FloatMetadata:
        model, card = timm_models.restore(inputs["model"])
        data = hold_back(inputs["train"], card, self.held_back)
        folded = fold_batch_norm(model, card.image_size)
        seen = trace(folded, card.image_size)
        ranges = fake_quant.observe(
            folded, seen, data.views(data.learned[: self.samples]), self.calibration
        )
        ptq = fake_quant.simulator(folded, seen, ranges)
        trainer = _QatTrainer(self, copy.deepcopy(ptq), model, data, context)
        trainer.shown_on = curve_images(inputs)
        qat = trainer.run(data.images, data.labels[trainer.learned])
        fake_quant.snap(qat.model, fake_quant.weight_names(qat.model, seen))
        reference, before, after = (data.scores(m) for m in (model, ptq, qat))
        judgement = paired_check(reference, before, after, data.labels[data.held])
        best = qat.model if judgement.keeps_training else model
        metadata = timm_models.save(best, card, into)
        return metadata.updated(
            training=trainer.record,
            curve=trainer.curve,
            qat=judgement.model_dump(mode="json"),
            remark=judgement.remark,
            ranges=qat.ends() if judgement.keeps_training else {},
        )


class _QatTrainer(SupervisedTrainer):
    """Trains a simulator of the network in place of the network."""

    def __init__(
        self, stage: Qat, simulator: Any, model: Any, data: Halves, context: Context
    ) -> None:
        card, teacher = data.card, None
        if stage.distill:
            own = copy.deepcopy(model)
            weight, temperature = stage.distill.weight, stage.distill.temperature
            teacher = Teacher(own, card.mean, card.std, weight, temperature)
        _freeze_folded(simulator.model, card.image_size)
        super().__init__("qat", stage, simulator, card, context, teacher)
        self.labels = data.labels
        self.learned = np.sort(data.learned)
        self.learning_epochs = stage.freeze_ranges * stage.epochs

    def batch_loss(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], batch: NDArray[np.int64]
    ) -> torch.Tensor:
        self.model.learn_ranges = self.epoch < self.learning_epochs
        return super().batch_loss(images, self.labels, self.learned[batch])


def _freeze_folded(model: Any, image_size: Size) -> None:
    """Of a layer and the BatchNorm folded into it one weight learns, and one bias."""
    modules = dict(model.named_modules())
    for layer in pairs(model, image_size):
        if layer.norm is not None:
            modules[layer.norm].weight.requires_grad_(False)
            if modules[layer.name].bias is not None:
                modules[layer.name].bias.requires_grad_(False)
