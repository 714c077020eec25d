"""Random weights that no converter folds away: of the free rung alone."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from edgekit.engine.action import Context, Inputs
from edgekit.models import timm_models
from edgekit.models.float_metadata import FloatMetadata
from edgekit.stages.base import Stage


class NonZeroWeights(Stage):
    """Many residual networks begin with a zero at the end of each branch (Goyal et al. 2017). What
    is multiplied by zero a converter leaves out, and the file would be smaller and faster than that
    of the same network once it is trained."""

    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ("torch", "timm")

    stage: Literal["nonzero"] = "nonzero"

    def run(self, inputs: Inputs, into: Path, context: Context) -> FloatMetadata:
        import torch

        model, card = timm_models.restore(inputs["model"])
        torch.manual_seed(0)
        with torch.no_grad():
            for name, values in model.named_parameters():
                if not values.any():
                    values.normal_(0.0 if name.endswith("bias") else 1.0, 0.1)
        return timm_models.save(model, card, into)
