"""Photos are asked what a model takes, before its recipe is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.cli._output import say

if TYPE_CHECKING:
    from edgekit.engine.store import Store
    from edgekit.evaluation.input_advice import BetterInput
    from edgekit.models.model_file import ModelFile
    from edgekit.pipeline.plan import Plan
    from edgekit.setup.choices import Choices, Wishes
    from edgekit.setup.photos import PhotoSet, Shapes
    from edgekit.spec.target import Target


def told_input(
    choices: Choices,
    photos: PhotoSet,
    shapes: Shapes,
    model: ModelFile | None,
    wishes: Wishes,
    out: Path,
    target: Target,
    store: Store,
) -> Choices:
    """The choices with what photos say of the model's input; the user's own word stands."""
    if model is None:
        return choices
    from edgekit.cli.console import Console
    from edgekit.evaluation.source_check import IMAGES
    from edgekit.setup.input_check import settle_input
    from edgekit.setup.recipe_file import plan_text
    from edgekit.setup.recipe_text import recipe_text

    def plan(choices: Choices) -> Plan:
        return plan_text(
            recipe_text(choices, photos, shapes, model, out.parent), out, target, store
        )

    def is_free(better: BetterInput) -> bool:
        is_possible = model.format != "torch" or better.channels == "rgb"
        return is_possible and wishes.input_range in (None, better.range)

    say(
        f"model input: up to {IMAGES} training photos are asked, which takes minutes for a large "
        "network; the build need not ask again (--no-check leaves it to the build)"
    )
    with Console() as console:
        has_free_fit = model.framing is None and model.format != "keras"
        choices = settle_input(choices, photos.classes, is_free, has_free_fit, plan, store, console)
    if choices.why_input:
        say(f"model input: {choices.why_input}")
    return choices
