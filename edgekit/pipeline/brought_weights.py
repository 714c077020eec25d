"""The weights that a recipe names, its model's and its teachers', looked at as it is planned."""

from __future__ import annotations

from edgekit.data.size import Size
from edgekit.engine.confinement import unprevented
from edgekit.models.architectures import refuse_unknown
from edgekit.models.input_size import check_input, input_size
from edgekit.models.source import ModelSource
from edgekit.models.weights_choice import chosen
from edgekit.spec.recipe import Recipe
from edgekit.stages.base import Stage


def check_weights(recipe: Recipe) -> dict[str, str]:
    """What is to be known of them, by the setting that names them: which are taken of a file that
    holds several, and what a machine cannot keep a file from elsewhere from.

    Raises:
        InputError: an architecture that there is not, a file that is no checkpoint, or a model file
            that takes other images.
    """
    sources = {"model": recipe.model, **teachers_of(recipe.stages)}
    size = recipe.data.image_size
    remarks = {setting: _check(source, setting, size) for setting, source in sources.items()}
    return {setting: remark for setting, remark in remarks.items() if remark}


def teachers_of(stages: tuple[Stage, ...]) -> dict[str, ModelSource]:
    return {setting: teacher for s in stages for setting, teacher in s.teachers().items()}


def tells_size(source: ModelSource) -> bool:
    """Whether the model's file says which size of image it takes."""
    file = None if source.format == "torch" else source.weights_file()
    return file is not None and file.is_file() and input_size(file) is not None


def _check(source: ModelSource, setting: str, size: Size) -> str:
    if source.format != "torch":
        if file := source.weights_file(f"{setting}.weights"):
            check_input(file, size, source.channels)
        return unprevented()
    refuse_unknown(source.arch, f"{setting}.arch")
    file = source.weights_file(f"{setting}.weights")
    if not file:
        return ""
    return chosen(file, source.state, f"{setting}.weights").remark(file.name, setting)
