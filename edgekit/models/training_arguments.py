"""How a checkpoint's images were prepared, by the arguments that timm's train.py keeps in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgekit.data.framing import Interpolation
from edgekit.data.size import Size

SIZES = {"img_size", "input_size"}
PREPARATION = {"crop_pct", "interpolation", "mean", "std"}
"""Arguments that its train.py always has, be they None."""
Numbers = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
Side = Annotated[int, Field(ge=16, le=2048)]


class _Arguments(BaseModel):
    """What a file says, as far as timm takes it."""

    model_config = ConfigDict(allow_inf_nan=False)

    img_size: Side | None = None
    input_size: tuple[int, Side, Side] | None = None
    crop_pct: Annotated[float, Field(ge=0.1, le=1)] | None = None
    mean: Numbers | None = None
    std: Numbers | None = None
    interpolation: Any = None


@dataclass(frozen=True)
class TrainedImages:
    size: Size
    size_is_default: bool
    """No argument names it: it is timm's for the architecture."""
    crop_pct: float
    interpolation: Interpolation
    mean: tuple[float, ...] | None
    """None where it is the architecture's own."""
    std: tuple[float, ...] | None


def trained_images(arguments: Mapping[Any, Any], arch: str) -> TrainedImages | None:
    """What timm's train.py validated on with these arguments; None of those of another program.

    Args:
        arguments: as a checkpoint has them: of anybody's making.
    """
    if PREPARATION - {*arguments} or not SIZES & {*arguments}:
        return None
    try:
        said = _Arguments.model_validate(dict(arguments))
    except ValidationError:
        return None
    import timm
    from timm.data import resolve_data_config

    if said.interpolation not in get_args(Interpolation)[:3]:
        said.interpolation = None
    known = timm.get_pretrained_cfg(arch)
    config = resolve_data_config(said.model_dump(), known.to_dict() if known else {"": ""})
    named = config["interpolation"]
    return TrainedImages(
        size=Size(*config["input_size"][1:]),
        size_is_default=said.img_size is None and said.input_size is None,
        crop_pct=config["crop_pct"],
        interpolation=named if named in get_args(Interpolation) else "bicubic",
        mean=said.mean,
        std=said.std,
    )
