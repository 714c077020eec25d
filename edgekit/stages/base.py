"""The contract of a stage: its pydantic fields are its YAML keys, its docs and its cache key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from edgekit.action import Action
from edgekit.artifact import Json


class Stage(BaseModel, Action):
    """One step of a recipe's `stages`.

    A trunk stage turns a torch model into a torch model, once for all targets. A runtime stage
    works on a compiled model, once for each target and runtime.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scope: ClassVar[Literal["trunk", "runtime"]]
    trains: ClassVar[bool] = False
    """The stage learns from labels, so its result is a new float reference, not a loss."""
    images: ClassVar[Literal["train", "calibration"] | None] = None
    """The split whose decoded images the stage reads."""

    stage: str

    def settings(self) -> Json:
        return self.model_dump(mode="json")

    def files(self, base: Path) -> dict[str, Path]:
        """Files the settings point to; their digests enter the key."""
        return {}

    def calibration_images(self) -> int | None:
        return None


def accepts_list(value: Any) -> Any:
    """A single word where a list is taken."""
    return [value] if isinstance(value, str) else value
