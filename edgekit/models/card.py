"""The card of a float model: what must be known to run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from edgekit.data.framing import Fit, Framing, Interpolation, Orientation
from edgekit.data.size import Size
from edgekit.engine.artifact import Json
from edgekit.errors import WeightsError
from edgekit.models.channel_widths import Widths
from edgekit.models.checkpoint import (
    read_note,
)
from edgekit.models.source import Channels, Format, Triple
from edgekit.models.swish import SwishSubstitute

if TYPE_CHECKING:
    import torch

    StateDict = dict[str, torch.Tensor]


WEIGHTS_FILE = "model.safetensors"


class Card(BaseModel):
    """What must be known to run a model: its input, its classes, its size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arch: str
    classes: tuple[str, ...]
    image_size: Size
    mean: Triple
    """Subtracted from pixels / 255, per RGB channel."""
    std: Triple
    fit: Fit = "crop"
    crop_pct: float
    interpolation: Interpolation = "bicubic"
    orientation: Orientation = "upright"
    parameters: int
    macs: int
    """Multiply-accumulates of convolutions and matrix products for one image; 0 for a file from
    elsewhere until it is compiled, as only the compiled graph tells."""
    format: Format = "torch"
    """What the float model is kept as."""
    channels: Channels = "rgb"
    """The order that the file from elsewhere was made for. What is kept takes RGB in any case."""
    widths: Widths | None = None
    """Of a pruned network, what was cut of the architecture: `create` and `resize` build it."""
    activation: SwishSubstitute | None = None
    """What stands in place of the architecture's swish."""

    @model_serializer(mode="wrap")
    def _without_alterations(self, dump: SerializerFunctionWrapHandler) -> Json:
        """The card of an architecture as it is reads as it did before any could be altered, and so
        do the files that hold it."""
        fields: Json = dump(self)
        for name in ("widths", "activation"):
            if fields.get(name) is None:
                fields.pop(name, None)
        return fields

    @property
    def framing(self) -> Framing:
        return Framing(
            self.image_size, self.crop_pct, self.fit, self.interpolation, self.orientation
        )


def read_card(path: Path) -> Card | None:
    """The card inside a safetensors file that edgekit wrote; None for any other checkpoint.

    Raises:
        WeightsError: another version of edgekit wrote it, with other fields.
    """
    note = read_note(path)
    note.pop("seen", None)
    try:
        return Card.model_validate_json(json.dumps(note)) if note else None
    except ValidationError as error:
        raise WeightsError(
            f"{path} holds a card of another version of edgekit: {error.errors()[0]['msg']} "
            f"({'.'.join(map(str, error.errors()[0]['loc']))})",
            hint="use the version that wrote it, or save the tensors without the card",
        ) from error
