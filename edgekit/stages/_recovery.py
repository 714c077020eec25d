"""The training after a cut, which goes on while it has not converged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.problem import counted
from edgekit.engine.action import Context
from edgekit.models.card import Card
from edgekit.models.training_curve import TrainingCurve, not_converged
from edgekit.stages._curve_images import CurveImages
from edgekit.stages._recover import Recover
from edgekit.stages._supervised import SupervisedTrainer, Teacher

Trained = tuple[Any, TrainingCurve]


@dataclass(frozen=True)
class Recovery:
    settings: Recover
    teacher: Teacher | None
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    shown_on: CurveImages | None
    context: Context

    def between(self, name: str, model: Any, card: Card) -> Trained:
        """A short training, as another cut follows.

        Args:
            name: of the folder with its checkpoint.
        """
        settings = self.settings
        return self._train(
            name, settings.model_copy(update={"epochs": settings.step_epochs}), model, card
        )

    def to_the_end(self, name: str, model: Any, card: Card) -> Trained:
        """A training after the last cut: warm restarts follow it (Loshchilov and Hutter 2017) while
        its loss was still falling, each with half the learning rate of the one before."""
        settings = self.settings
        model, curve = self._train(name, settings, model, card)
        last = curve
        while (
            len(curve.points) + settings.epochs <= settings.most_epochs
            and not_converged(last.losses, "") is not None
        ):
            settings = settings.again()
            model, last = self._train(f"{name}-{len(curve.points)}", settings, model, card)
            curve = curve.followed_by(last)
        return model, curve

    def remark(self, curve: TrainingCurve) -> str | None:
        """That it went on, and that it has not converged."""
        more = len(curve.points) - self.settings.epochs
        told = []
        if more:
            went_on = counted(more, "epoch")
            told.append(f"the recovery went on for {went_on}, as its loss was still falling")
        if late := not_converged(curve.losses, "prune.recover.epochs"):
            told.append(f"the recovery after the cut: {late}")
        return "; ".join(told) or None

    def _train(self, name: str, settings: Recover, model: Any, card: Card) -> Trained:
        partial = self.context.partial / name
        partial.mkdir(parents=True, exist_ok=True)
        context = replace(self.context, partial=partial)
        trainer = SupervisedTrainer("prune.recover", settings, model, card, context, self.teacher)
        trainer.shown_on = self.shown_on
        return trainer.run(self.images, self.labels), trainer.curve
