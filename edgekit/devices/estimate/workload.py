"""What a model file asks of a processor for one image: arithmetic, bytes, operators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edgekit.errors import EdgekitError
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.description import Description

MAIN_SHARE = 0.95
"""Share of the multiply-accumulates that gives a file its precision; a build lets 5 % stay in
float."""


Amount = Annotated[int, Field(ge=0, lt=2**63)]


class Workload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    conv: Amount
    """Multiply-accumulates in convolutions larger than 1 x 1; likewise below."""
    depthwise: Amount
    dense: Amount
    """In 1 x 1 convolutions and linear layers."""
    product: Amount
    """In products of two computed tensors, as of attention."""
    by_precision: dict[str, Amount]
    """All of them, by the type of their arithmetic."""
    weights: Amount
    """Bytes of all constants."""
    moved: Amount
    """Bytes of activations that operators read and write, each by each."""
    operators: Amount

    @property
    def macs(self) -> int:
        return self.conv + self.depthwise + self.dense + self.product

    @property
    def precision(self) -> str:
        """int8, float32, float16; `mixed` where no type has nearly all of the work."""
        for name, macs in self.by_precision.items():
            if macs >= MAIN_SHARE * self.macs:
                return name
        return "mixed"


def workload_of(runtime: Runtime, path: Path) -> Workload:
    """Read it from a file, by way of the runtime that loads it.

    Raises:
        EdgekitError: the runtime cannot load the file, or its sides are not fixed.
    """
    return workload_in(runtime.describe(path), path)


def workload_in(description: Description, path: Path) -> Workload:
    """
    Raises:
        EdgekitError: the sides of what the file takes are not fixed.
    """
    shape = description.input.shape
    if not all(side > 0 for side in shape[1:]):  # an open batch is one image
        raise EdgekitError(
            f"{path} takes {shape}: what it asks depends on the size of the image",
            hint="export it with a fixed height and width",
        )
    return summed(description)


def summed(description: Description) -> Workload:
    operators = description.operators
    kinds = {"conv": 0, "depthwise": 0, "dense": 0, "product": 0}
    precisions: dict[str, int] = {}
    for operator in operators:
        if operator.work:
            kinds[operator.work] += operator.macs
            name = "int8" if operator.precision == "uint8" else operator.precision
            precisions[name] = precisions.get(name, 0) + operator.macs
    return Workload(
        **kinds,
        by_precision=precisions,
        weights=sum(operator.weights for operator in operators),
        moved=sum(operator.moved for operator in operators),
        operators=len(operators),
    )
