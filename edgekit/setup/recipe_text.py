"""The text of a recipe, with the reasons of what it says."""

from __future__ import annotations

import os
from pathlib import Path

import jinja2
import yaml

from edgekit.data.labels import yaml_list
from edgekit.data.problem import counted
from edgekit.data.size import Size
from edgekit.engine.progress import duration
from edgekit.models.model_file import ModelFile
from edgekit.printable import one_line
from edgekit.setup.choices import (
    SMALL_SIDE,
    Choices,
    most_of,
    training_seconds,
)
from edgekit.setup.photos import PhotoSet, Shapes

TEMPLATE = "recipe.yaml.j2"
WHY_ARCH = {
    "tf_efficientnet_lite0": "convolutions and ReLU6, with int8 kernels for all of it",
    "mobilenetv4_conv_small": "convolutions and ReLU, with int8 kernels for all of it",
}
WHY_WEIGHTS = {
    "scratch": "untrained; `package:NAME` or `pretrained` need less data and time",
    "pretrained": "ImageNet's, from timm's hub: a download",
}
AS_TRAINED = "as it was trained"
AS_TOLD = "as the photos say"
USES = {"train": "to train on", "calibration": "to calibrate on"}
"""Of a data set's own splits, beside the one that judges."""


def recipe_text(
    choices: Choices, photos: PhotoSet, shapes: Shapes, model: ModelFile | None, folder: Path
) -> str:
    """
    Args:
        folder: the recipe's, which its paths begin at.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgekit.setup", ""),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "yaml": _yaml,
        "yaml_list": yaml_list,
        "one_line": one_line,
        "counted": _counted,
    }
    return environment.get_template(TEMPLATE).render(
        choices=choices,
        photos=photos,
        model=model,
        weights=_weights(model, folder) if model else choices.weights,
        path=_from(photos.source.path, folder),
        point=f"{100 / photos.judged:.2g}",
        why_arch=WHY_ARCH.get(choices.arch, "as asked for"),
        why_range=_why_range(choices, model),
        why_channels=AS_TOLD if choices.is_told("channels") else "photos are made grey",
        why_weights=WHY_WEIGHTS.get(choices.weights, "ImageNet's, installed: no download"),
        why_size=_why_size(choices, shapes, model),
        how_long=_how_long(choices, photos.learned),
        why_fit=_why_fit(choices, shapes, model),
        why_interpolation=_why_interpolation(choices, model),
        why_orientation=_why_orientation(choices, model),
    )


def _why_size(choices: Choices, shapes: Shapes, model: ModelFile | None) -> str:
    if model:
        return _why_size_of(model, choices)
    if choices.size.is_square and choices.size.height == most_of(shapes):
        return f"the photos' shorter side is {shapes.side} pixels"
    if choices.size == Size.square(SMALL_SIDE):
        return "224 sees finer detail, at twice the work here and on the target"
    return "pixels; half the side takes about a quarter of the time"


def _why_size_of(model: ModelFile, choices: Choices) -> str:
    trained = model.trained
    if trained and trained.framing.size == choices.size:
        is_default = trained.size_is_default
        default = "timm's for this architecture: the checkpoint's args name no other"
        return default if is_default else "as the checkpoint's args say"
    if model.size == choices.size:
        return ", ".join(filter(None, ("what the file takes", model.layout)))
    if model.format != "torch":
        return "the file leaves it open"
    return "a guess: the checkpoint does not say at what size it was trained"


def _how_long(choices: Choices, learned: int) -> str:
    seconds = training_seconds(choices, learned)
    return f"about {duration(max(10, seconds))} on two cores" if seconds else ""


def _why_range(choices: Choices, model: ModelFile | None) -> str:
    if choices.is_told("input_range"):
        return AS_TOLD
    if model and model.input_range and model.input_range == choices.input_range:
        return "the file scales its pixels itself"
    return (
        "the file does not say. The build compares 0..1, -1..1, 0..255 and imagenet on training "
        "photos, and stops where another is better for sure"
    )


def _why_fit(choices: Choices, shapes: Shapes, model: ModelFile | None) -> str:
    if choices.is_told("fit"):
        return AS_TOLD
    if model and model.framing:
        return _as_trained(model, "fit")
    if model and choices.fit == "crop":
        return "or squash, pad: as its own photos were resized. crop_pct: 0.875 takes 224 of 256"
    if model:
        return "as the photos that it learned from were resized: crop, squash or pad"
    return f"{100 * shapes.oblong:.0f} % are oblong, and a crop would lose much of them; or pad"


def _as_trained(model: ModelFile, key: str) -> str:
    return model.trained.unmet.get(key, AS_TRAINED) if model.trained else AS_TRAINED


def _why_interpolation(choices: Choices, model: ModelFile | None) -> str:
    if choices.is_told("interpolation"):
        return AS_TOLD
    if model and model.framing:
        return _as_trained(model, "interpolation")
    return "as image_dataset_from_directory resizes: else bicubic, bilinear or nearest"


def _why_orientation(choices: Choices, model: ModelFile | None) -> str:
    if choices.is_told("orientation"):
        return AS_TOLD
    if model and model.framing and choices.orientation == model.framing.orientation:
        return AS_TRAINED
    return "the loaders of Keras, torchvision and timm turn no photo; or upright"


def _counted(photos: PhotoSet) -> str:
    uses = USES | {photos.source.evaluate_on: "to judge by"}
    parts = [
        f"{count:,} {uses.get(name, f'in {name} (unused)')}"
        for name, count in photos.splits.items()
    ]
    return f"{counted(sum(photos.splits.values()), 'photo')}, {', '.join(parts)},"


def _yaml(value: str) -> str:
    """As one scalar of YAML, on one line."""
    style = '"' if one_line(value) != value else None  # which writes a line break as \n
    text = yaml.safe_dump(value, allow_unicode=True, width=10_000, default_style=style)
    return text.removesuffix("\n").removesuffix("\n...")


def _weights(model: ModelFile, folder: Path) -> str:
    # The / says that it is a folder.
    return _from(model.path, folder) + "/" * model.path.is_dir()


def _from(path: Path, folder: Path) -> str:
    """A path as the recipe has it: from its own folder, where it lies in or near it."""
    here = os.path.relpath(path.absolute(), folder.absolute())
    return str(path.absolute()) if here.startswith("../..") else here
