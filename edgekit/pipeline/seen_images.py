"""Images that the weights have learned from: none of them may judge the result."""

from __future__ import annotations

from edgekit.data.inventory import Inventory
from edgekit.data.sources.base import Sample
from edgekit.data.splits import divide
from edgekit.errors import WeightsError
from edgekit.models.checkpoint import SEEN_DIGITS, seen_images
from edgekit.spec.recipe import Recipe


def seen_by_weights(recipe: Recipe, inventory: Inventory) -> set[str]:
    """Images the weights have learned from, or will have: here, and in the files they come from.

    Raises:
        WeightsError: one of them is an image that accuracy is to be measured on.
    """
    splits = divide(inventory, recipe.data)

    def starts(samples: list[Sample]) -> set[str]:
        return {inventory.digests[sample.name][:SEEN_DIGITS] for sample in samples}

    judged = starts(splits[recipe.data.evaluate_on])
    files = [recipe.model.weights_file()]
    files += [path for stage in recipe.stages for path in stage.files().values()]
    seen: set[str] = set()
    for path in filter(None, files):
        known = seen_images(path)
        if known & judged:
            raise WeightsError(
                f"{path} was trained on {len(known & judged)} of the {len(judged)} images that "
                "accuracy is to be measured on",
                hint="use the split it was trained with (data.seed, data.validation_share), or "
                "other weights",
            )
        seen |= known
    learned = any(stage.trains or stage.distils for stage in recipe.stages)
    return seen | (starts(splits["train"]) if learned else set())
