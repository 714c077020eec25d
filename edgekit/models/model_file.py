"""What a model's file says of itself: its input, its scores, and of a checkpoint the architecture.

Nothing of the file is run. What it does not say is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgekit.data.framing import Framing
from edgekit.data.size import Size
from edgekit.errors import InputError
from edgekit.models import _keras_config, _onnx, _onnx_checks, _onnx_plain
from edgekit.models.architectures import refuse_unknown, registered
from edgekit.models.card import read_card
from edgekit.models.checkpoint_fit import WRAPPERS, classifiers
from edgekit.models.input_size import keras_shape
from edgekit.models.nearest_architecture import architecture_of
from edgekit.models.networks import create
from edgekit.models.source import CHECKPOINTS, FORMATS, SAVED_MODEL, Format, InputRange
from edgekit.models.training_arguments import TrainedImages, trained_images
from edgekit.models.weights_choice import chosen

BYTES = 100.0
"""A model that divides its input by more than this takes pixels of 0..255."""


@dataclass(frozen=True)
class ModelFile:
    path: Path
    format: Format
    size: Size | None = None
    depth: int | None = None
    """Numbers that it takes for each pixel."""
    layout: Literal["channels first", "channels last"] | None = None
    scores: int | None = None
    """0 of a checkpoint without a classifier."""
    input_range: InputRange | None = None
    arch: str = ""
    """Of a checkpoint."""
    framing: Framing | None = None
    """Of the images that a checkpoint was trained on, where it says it."""
    trained: TrainedImages | None = None
    """What a checkpoint of timm's train.py says of its images."""

    def gives(self, classes: int) -> bool:
        """Whether its scores may be those of so many classes: of two, one may be enough."""
        return self.scores in (None, classes) or (self.scores == 1 and classes == 2)


def is_model(path: Path) -> bool:
    """Whether it is a model, not photos."""
    if path.is_dir():
        return (path / SAVED_MODEL).is_file()
    return path.suffix.lower() in (*FORMATS, *CHECKPOINTS)


def read_model(path: Path, arch: str = "") -> ModelFile:
    """
    Args:
        arch: of a checkpoint, where the user names it.

    Raises:
        WeightsError: it is no such file. InputError: nobody says of which architecture it is.
    """
    if path.is_dir():
        return ModelFile(path, "keras")
    format = FORMATS.get(path.suffix.lower(), "torch")
    return {"onnx": _of_onnx, "keras": _of_keras, "torch": _of_torch}[format](path, arch)


def _of_onnx(path: Path, arch: str) -> ModelFile:
    parsed = _onnx.parse(path)
    _onnx_checks.check_operators(parsed, path)
    graph = parsed.graph
    image = _onnx_checks.only_input(graph, path)
    scores = [dim.dim_value for dim in graph.output[0].type.tensor_type.shape.dim][1:]
    scaled = any(factor >= BYTES for factor in _divisors(graph, image.name))
    return ModelFile(
        path,
        "onnx",
        **_input([dim.dim_value for dim in image.type.tensor_type.shape.dim]),
        scores=math.prod(scores) or None if scores else None,
        input_range="0..255" if scaled else None,
    )


def _divisors(graph: Any, name: str) -> Iterator[float]:
    """What the first operators divide the input by, as far as they are one number."""
    constants = _onnx_plain.constants(graph)
    for node in graph.node:
        if name not in node.input:
            continue
        if node.op_type in ("Transpose", "Cast", "Identity", "Sub"):
            name = node.output[0]
        elif node.op_type in ("Div", "Mul"):
            for other in {*node.input} & {*constants}:
                if factor := _factor(constants[other]):
                    yield factor if node.op_type == "Div" else 1 / factor
            return
        else:
            return


def _factor(tensor: Any) -> float | None:
    """The first of one or three numbers that the file itself holds: where others are, the file
    chooses."""
    from onnx import external_data_helper, numpy_helper

    is_small = math.prod(tensor.dims) in (1, 3) and tensor.data_type in _onnx_checks.float_types()
    if not is_small or external_data_helper.uses_external_data(tensor):
        return None
    try:
        return float(numpy_helper.to_array(tensor).ravel()[0])
    except ValueError:  # it holds fewer than it says; a plan tells
        return None


def _of_keras(path: Path, arch: str) -> ModelFile:
    whole = _keras_config.read(path)
    entries = [e for e in _keras_config.entries(whole) if isinstance(e.get("config"), dict)]
    layers = [(entry.get("class_name"), entry["config"]) for entry in entries]
    units = [config.get("units") for name, config in layers if name == "Dense"]
    return ModelFile(
        path,
        "keras",
        **_input(keras_shape(whole)),
        scores=units[-1] if units and isinstance(units[-1], int) else None,
        input_range="0..255" if _is_scaled(layers) else None,
    )


def _is_scaled(layers: list[tuple[Any, Any]]) -> bool:
    """Whether a layer divides what the model is given by 255 or about as much."""
    scales = [config.get("scale") for name, config in layers if name == "Rescaling"]
    return any(isinstance(s, int | float) and 0 < abs(s) <= 1 / BYTES for s in scales)


def _of_torch(path: Path, arch: str) -> ModelFile:
    card = read_card(path)
    if card:
        refuse_unknown(card.arch, f"{path}: its card")
        return ModelFile(
            path,
            "torch",
            card.image_size,
            scores=len(card.classes),
            arch=card.arch,
            framing=card.framing,
        )
    found = chosen(path, None)
    shapes = {name: tuple(tensor.shape) for name, tensor in found.tensors.items()}
    said = found.arch if found.arch in registered("timm") else ""
    if arch and said and arch != said:
        raise InputError(
            f"--arch: {path} says that its weights are of {said}, not of {arch}",
            hint="leave --arch out",
        )
    arch = arch or said or _searched(shapes, found.arch)
    if not arch:
        raise InputError(
            f"{path} does not say of which architecture its weights are, and none of the common "
            "ones fits",
            hint="--arch NAME says it, e.g. --arch mobilenetv4_conv_small: any of timm's, or "
            "torchvision/NAME",
        )
    refuse_unknown(arch, "--arch")
    trained = trained_images(found.arguments, arch)
    return ModelFile(
        path,
        "torch",
        trained.framing.size if trained else None,
        scores=_scores(shapes, arch),
        arch=arch,
        framing=trained.framing if trained else None,
        trained=trained,
    )


def _scores(shapes: dict[str, tuple[int, ...]], arch: str) -> int | None:
    """Of the classifier, by its name: a file may hold it anywhere.

    Raises:
        InputError: the architecture cannot be built.
    """
    import torch

    try:
        with torch.device("meta"):
            heads = classifiers(create(arch, 1000))
    except InputError:
        raise
    except Exception:  # timm names no classifier, or the network is not built without memory
        return None
    bare = {
        ".".join(p for p in n.split(".") if p not in WRAPPERS): s for n, s in shapes.items() if s
    }
    ends = tuple(f".{head}.weight" for head in heads)
    found = [name for name in bare if f".{name}".endswith(ends)]
    return bare[min(found, key=len)][0] if found else 0


def _searched(shapes: dict[str, tuple[int, ...]], named: str) -> str:
    import timm  # noqa: F401 - it takes seconds, of which the search has a few

    return architecture_of(shapes, named) or ""


def _input(shape: Sequence[Any]) -> dict[str, Any]:
    """Size, depth and layout of an input.

    >>> _input([1, 3, 96, 128])
    {'size': Size(height=96, width=128), 'depth': 3, 'layout': 'channels first'}
    >>> _input([None, None, None, 1])
    {'size': None, 'depth': 1, 'layout': 'channels last'}
    >>> _input([None, 10])
    {}
    """
    if len(shape) != 4:
        return {}
    first = shape[1] in (1, 3) and shape[3] not in (1, 3)
    depth, *sides = shape[1:] if first else (shape[3], *shape[1:3])
    if depth not in (1, 3):
        return {}
    known = all(isinstance(side, int) and side > 0 for side in sides)
    return {
        "size": Size(*sides) if known else None,
        "depth": depth,
        "layout": "channels first" if first else "channels last",
    }
