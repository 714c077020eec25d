"""The `search` section of a recipe: which fields may vary, and how candidates are compared."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

CURATED = "curated"


class SearchSettings(BaseModel):
    """What `edgekit search` reads; a build does not."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    over: dict[str, list[Any]] = {}
    """Values to try, by the dotted paths of fields: `data.image_size: [96, 128]`. `model.arch:
    [curated]` stands for the architectures that are known to do well on the target."""
    limits: list[str] = []
    """What the model must hold, as `--limit` takes it, which replaces one on the same figure."""
    candidates: int = Field(40, ge=1, le=1000)
    """The most that are compared."""
    epochs: int = Field(3, ge=1, le=1000)
    """Of the short training by which candidates are compared."""
    images: int = Field(600, ge=8, le=10_000_000)
    """Training images of it; all where there are fewer."""
    held_back: float = Field(0.25, gt=0, lt=0.9)
    """Share of the training images that is held back to choose by."""
    front: int = Field(6, ge=1, le=50)
    """The most candidates that are trained as the recipe says."""
    margin: float = Field(2.0, gt=0, le=100)
    """Points of accuracy: a faster candidate is taken where it surely loses less than this against
    the most accurate, and no loss can be told. With few held-back images that is never sure."""
    seed: int = Field(0, ge=0, le=2**31)
    """Changes which images are held back, and the order in which candidates are tried."""
