"""What a model file is, told of itself alone: what it takes and gives, of what it is made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edgekit.errors import EdgekitError, InputError
from edgekit.models import _keras_config
from edgekit.models.input_size import keras_shape
from edgekit.models.source import FORMATS
from edgekit.runtimes.contract.description import Port
from edgekit.runtimes.contract.named_file import describe_named
from edgekit.runtimes.contract.reader import Reader


class ModelSummary(BaseModel):
    file: str
    bytes: int
    format: str
    """Of whom: a runtime's name, or keras."""
    inputs: tuple[Port, ...]
    """The sides that a file leaves open are 0 or -1."""
    outputs: tuple[Port, ...] = ()
    """None of a Keras file: only a model that is built tells."""
    operators: dict[str, int]
    """How many of each kind, with the type of its arithmetic; of a Keras file its layers."""
    weights: dict[str, int]
    """Bytes by the type that they are stored in."""
    macs: int | None = None
    """Multiply-accumulates for one image; None of a Keras file."""


def summarise(path: Path, runtime: Reader | None) -> ModelSummary:
    """
    Args:
        runtime: whose file it is; None of a Keras file, of which nothing is run.

    Raises:
        InputError, WeightsError: it cannot be read, or takes more than an image.
    """
    whole: dict[str, Any] = {"file": str(path), "bytes": path.stat().st_size}
    if runtime is None:
        return _of_keras(path, whole)
    try:
        (found,) = describe_named(runtime, path)
    except EdgekitError as error:
        raise InputError(error.message, hint=error.hint) from error
    weights: Counter[str] = Counter()
    for operator in found.operators:
        if operator.weights:
            weights[operator.stored or operator.precision] += operator.weights
    return ModelSummary(
        **whole,
        format=runtime.name,
        inputs=(found.input,),
        outputs=(found.output,),
        operators=_ordered(Counter(found.count())),
        weights=_ordered(weights),
        macs=sum(operator.macs for operator in found.operators),
    )


def is_keras(path: Path) -> bool:
    return FORMATS.get(path.suffix.lower()) == "keras"


def _of_keras(path: Path, whole: dict[str, Any]) -> ModelSummary:
    config = _keras_config.read(path)
    shape = [side if isinstance(side, int) else -1 for side in keras_shape(config)]
    return ModelSummary.model_validate(
        {
            **whole,
            "format": "keras",
            "inputs": [Port(name="image", shape=tuple(shape), dtype="float32")] if shape else [],
            "operators": _ordered(Counter(_keras_config.layer_kinds(config))),
            "weights": _ordered(_keras_config.stored_weights(path)),
        }
    )


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(counts.most_common())
