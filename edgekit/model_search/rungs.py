"""The recipes by which a candidate is judged, cheapest first (pure):

    free    nothing is trained: size, operations and latency of the int8 graph
    short   a few epochs on fewer images: does it learn? int8 need only come near float
    full    as the recipe says, for the front alone

All of them learn from the training side without the images that are held back, and are judged on
those. The last one, `from_checkpoint`, is an ordinary recipe: it begins with the weights that
`full` has trained, and is judged on the images that chose nothing.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from edgekit.evaluation.gates import Gates
from edgekit.model_search.nonzero import NonZeroWeights
from edgekit.model_search.selection import SelectionSource
from edgekit.models.source import ModelSource
from edgekit.spec.recipe import Recipe
from edgekit.stages.base import Stage
from edgekit.stages.prune import Prune
from edgekit.stages.quantize import Quantize

FREE_SAMPLES = 16
"""Images that an untrained graph is calibrated on: nobody asks for its accuracy."""


SHORT_AGREEMENT = 95.0
"""Percent at which `method: auto` may end for a short training, and with ranges alone. The scores
of such a network lie close together: of 149 images 93 % was the most that twelve minutes of search
came to, and the training took two."""


class Rung(StrEnum):
    FREE = "free"
    SHORT = "short"
    FULL = "full"


def free_recipe(recipe: Recipe, data: SelectionSource) -> Recipe:
    """The same network and precision, from random weights, with nothing learned."""
    stages: list[Stage] = [_untrained(stage) for stage in recipe.stages if not _only_learns(stage)]
    model = recipe.model
    if model.format == "torch" and not model.is_file:
        model = ModelSource(arch=model.arch, weights="scratch")
        stages.insert(0, NonZeroWeights())
    return _judged_on(recipe, data, stages).model_copy(update={"model": model})


def short_recipe(recipe: Recipe, data: SelectionSource, epochs: int) -> Recipe:
    """No training of it is longer than `epochs`, and int8 need only come near float."""
    return _judged_on(recipe, data, [_shortened(stage, epochs) for stage in recipe.stages])


def full_recipe(recipe: Recipe, data: SelectionSource) -> Recipe:
    return _judged_on(recipe, data, list(recipe.stages))


def _judged_on(recipe: Recipe, data: SelectionSource, stages: list[Stage]) -> Recipe:
    """Without gates, as limits take their place; what has learned nothing is told, not refused."""
    update = {"data": data, "stages": tuple(stages), "gates": Gates(), "allow_untrained": True}
    return recipe.model_copy(update=update)


def _only_learns(stage: Stage) -> bool:
    """It leaves the network's shape as it is."""
    return stage.scope == "trunk" and not isinstance(stage, Prune)


def _untrained(stage: Stage) -> Stage:
    if isinstance(stage, Prune):
        # By operations where the recipe says by latency: a table of layers takes minutes.
        by = "macs" if stage.by == "latency" else stage.by
        free = {"recover": None, "force": True, "importance": "magnitude", "steps": 1, "by": by}
        return stage.model_copy(update=free)
    if isinstance(stage, Quantize):
        plain = {"method": "ptq", "samples": FREE_SAMPLES, "every_class": False}
        return stage.model_copy(
            update={**plain, "calibration": None, "corrections": (), "max_float_macs": 1.0}
        )
    return stage


def _shortened(stage: Stage, epochs: int) -> Stage:
    update: dict[str, Any] = {}
    if (own := getattr(stage, "epochs", None)) and own > epochs:
        update["epochs"] = epochs
    recover = getattr(stage, "recover", None)
    if recover is not None and recover.epochs > epochs:
        update["recover"] = recover.model_copy(update={"epochs": epochs, "max_epochs": epochs})
    if isinstance(stage, Quantize) and stage.method == "auto":
        update |= {
            "stop_at": SHORT_AGREEMENT,
            "max_drop": 100 - SHORT_AGREEMENT,
            "effort": "ranges",
        }
    return stage.model_copy(update=update) if update else stage


def learned_stages(recipe: Recipe) -> int:
    """How many stages a checkpoint holds: those before the runtimes' own, and before one whose
    ranges no file of weights can keep."""
    for number, stage in enumerate(recipe.stages):
        if stage.scope != "trunk" or stage.is_final:
            return number
    return len(recipe.stages)


def from_checkpoint(recipe: Recipe, name: str, weights: Path | None) -> dict[str, Any]:
    """A recipe as plain data, its paths those of this machine.

    Args:
        weights: what the first stages have learned, which the recipe then leaves out; None where
            nothing was learned.
    """
    plain = recipe.model_dump(mode="json", exclude_unset=True, exclude={"search", "stages"})
    if weights:
        plain["model"] = {"arch": recipe.model.arch, "weights": str(weights)}
    stages = []
    for stage in recipe.stages[learned_stages(recipe) if weights else 0 :]:
        keys = stage.model_dump(mode="json", exclude_unset=True)
        stages.append({keys.pop("stage", stage.stage): keys})
    return {**plain, "name": name, "stages": stages}


def recipe_text(plain: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text
