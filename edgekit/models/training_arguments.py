"""How a checkpoint's images were prepared, by the arguments that timm's train.py keeps in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgekit.data.framing import Fit, Framing, Interpolation
from edgekit.data.size import Size
from edgekit.printable import one_line

SIZES = {"img_size", "input_size"}
PREPARATION = {"crop_pct", "interpolation", "mean", "std"}
"""Arguments that its train.py always has, be they None."""
TIMMS: tuple[Interpolation, ...] = ("bicubic", "bilinear", "lanczos", "nearest")
CROP_MODES: dict[str, Fit] = {"center": "crop", "squash": "squash", "border": "pad"}
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
    crop_mode: Any = None


@dataclass(frozen=True)
class TrainedImages:
    framing: Framing
    size_is_default: bool
    """No argument names it: it is timm's for the architecture."""
    mean: tuple[float, ...] | None
    """None where it is the architecture's own."""
    std: tuple[float, ...] | None
    unmet: dict[str, str]
    """What edgekit does otherwise, by the recipe's key."""


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

    known = timm.get_pretrained_cfg(arch)
    config = resolve_data_config(said.model_dump(), known.to_dict() if known else {"": ""})
    named, unmet = str(config["interpolation"]), {}
    interpolation: Interpolation = "bicubic"
    if named in TIMMS:
        interpolation = TIMMS[TIMMS.index(named)]
    else:
        unmet["interpolation"] = f"the checkpoint says {one_line(named[:40])}; bicubic is taken"
    fit, difference = _fit(str(config["crop_mode"]), config["crop_pct"], config["mean"])
    if difference:
        unmet["fit"] = difference
    crop_pct = config["crop_pct"] if fit == "crop" else 1.0
    size = Size(*config["input_size"][1:])
    return TrainedImages(
        # Its loaders, torchvision's too, turn no photo.
        framing=Framing(size, crop_pct, fit, interpolation, "as_stored"),
        size_is_default=said.img_size is None and said.input_size is None,
        mean=said.mean,
        std=said.std,
        unmet=unmet,
    )


def _fit(mode: str, crop_pct: float, mean: tuple[float, ...]) -> tuple[Fit, str | None]:
    """What is nearest to a `crop_mode` of timm's, and in words how it differs.

    >>> _fit("squash", 1.0, (0.5, 0.5, 0.5)), _fit("border", 1.0, (0.0, 0.0, 0.0))
    (('squash', None), ('pad', None))
    >>> _fit("border", 1.0, (0.5, 0.5, 0.5))
    ('pad', 'the checkpoint says crop_mode border, which pads with the mean colour; black is taken')
    """
    if mode not in CROP_MODES:
        return "crop", f"the checkpoint says crop_mode {one_line(mode[:40])}; the centre is taken"
    fit, said = CROP_MODES[mode], f"the checkpoint says crop_mode {mode}"
    if fit != "crop" and crop_pct < 1:
        return fit, f"{said} and crop_pct {crop_pct}, which cuts off edges; nothing is cut off"
    if fit == "pad" and any(mean):
        return fit, f"{said}, which pads with the mean colour; black is taken"
    return fit, None
