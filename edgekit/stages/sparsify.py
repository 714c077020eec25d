"""sparsify: set the smallest weights of convolutions and linear layers to zero.

Offered only for a target one of whose runtimes was measured to gain from such zeros. Elsewhere a
zero is multiplied like any other number: the latency stays what it is, and so does the file's
size; only a compressed download gets smaller.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from edgekit.engine.action import Context, Inputs
from edgekit.errors import InputError
from edgekit.models import timm_models
from edgekit.models.float_metadata import FloatMetadata
from edgekit.runtimes.base import Runtime
from edgekit.stages.base import Stage


class Sparsify(Stage):
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    stage: Literal["sparsify"] = "sparsify"
    pattern: str = Field("unstructured", pattern=r"^(unstructured|[1-9]\d*:[1-9]\d*)$")
    """`unstructured`: the smallest of each layer, wherever they are. `"2:4"` (in quotation marks):
    of every 4 consecutive input channels an output keeps the 2 largest; likewise `"4:8"`."""
    share: float | None = Field(None, gt=0, lt=1)
    """Of `unstructured`: the share of a layer's weights that become zero."""

    @field_validator("pattern", mode="before")
    @classmethod
    def _a_text(cls, value: Any) -> Any:
        if isinstance(value, int):  # YAML 1.1 reads 2:4 as 2 minutes and 4 seconds
            raise ValueError(f'{value} is no pattern: write it in quotation marks, such as "2:4"')
        return value

    @model_validator(mode="after")
    def _share_fits_the_pattern(self) -> Sparsify:
        if self.pattern == "unstructured":
            if self.share is None:
                raise ValueError("pattern: unstructured needs a share, e.g. 0.75")
            return self
        kept, group = _kept(self.pattern)
        if kept >= group:
            raise ValueError(f"pattern {self.pattern} keeps every weight; one such as 2:4 expected")
        if self.share is not None:
            raise ValueError(f"pattern {self.pattern} says the share itself: remove share")
        return self

    def check_targets(self, runtimes: Collection[type[Runtime]]) -> None:
        if any(self.pattern in runtime.gains_from for runtime in runtimes):
            return
        names = ", ".join(dict.fromkeys(runtime.name for runtime in runtimes))
        raise InputError(
            f"sparsify gains nothing here: {names} multiplies zeros like other weights, so with "
            f"pattern {self.pattern} the latency stays what it is, and only a compressed download "
            "gets smaller",
            hint="use prune instead, which removes whole channels; "
            "tests/benchmarks/sparsity.py measures what zeros bring",
        )

    def run(self, inputs: Inputs, into: Path, context: Context) -> FloatMetadata:
        model, card = timm_models.restore(inputs["model"])
        thin(model, self.pattern, self.share)
        return timm_models.save(model, card, into)


def thin(model: Any, pattern: str, share: float | None = None) -> None:
    """Set the smallest weights of each convolution and linear layer of a torch model to zero.

    Args:
        pattern: `unstructured`, or N:M, which keeps the N largest of M consecutive input channels
            (Mishra et al. 2021); the input channels that fill no group, as in a depthwise
            convolution, stay.
        share: of `unstructured`.
    """
    import torch

    for module in model.modules():
        if not isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            continue
        with torch.no_grad():
            if pattern == "unstructured":
                flat = module.weight.view(-1)
                smallest = flat.abs().argsort()[: round((share or 0) * len(flat))]
                flat[smallest] = 0
            else:
                _thin_groups(module.weight, *_kept(pattern))


def _thin_groups(weight: Any, kept: int, group: int) -> None:
    rows = weight.movedim(1, -1)
    whole = rows.shape[-1] // group * group
    groups = rows[..., :whole].unflatten(-1, (-1, group))
    smallest = groups.abs().argsort(dim=-1)[..., : group - kept]
    rows[..., :whole] = groups.scatter(-1, smallest, 0).flatten(-2)


def _kept(pattern: str) -> tuple[int, int]:
    kept, _, group = pattern.partition(":")
    return int(kept), int(group)
