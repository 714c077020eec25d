"""What a LiteRT file calls the operators that XNNPACK runs under names of its own: `as_in_file`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgekit.cycle_model.profiled import Profiled
from edgekit.runtimes.contract.description import Operator

HEAVY = (
    "Convolution", "Deconvolution", "Fully Connected", "Dynamic Fully Connected",
    "Batch Matrix Multiply",
)  # fmt: skip
KINDS = {
    "Add": "ADD", "Multiply": "MUL", "Subtract": "SUB", "Mean": "MEAN", "Softmax": "SOFTMAX",
    "Sigmoid": "LOGISTIC", "HardSwish": "HARD_SWISH", "Max Pooling": "MAX_POOL_2D",
    "Average Pooling": "AVERAGE_POOL_2D",
}  # fmt: skip


def as_in_file(parts: Sequence[Profiled], operators: Sequence[Operator]) -> list[Profiled]:
    """XNNPACK keeps the file's order, but makes one operator of several, or a linear layer of a
    convolution. Where both have equally many of a sort they are the same ones; others keep
    XNNPACK's name.

    Args:
        operators: of the file.
    """
    found = list(parts)
    for sort in {_sort(part) for part in parts} - {None}:
        places = [i for i, part in enumerate(parts) if _sort(part) == sort]
        names = [one.name for one in operators if ("heavy" if one.heavy else one.kind) == sort]
        if len(names) == len(places):
            for i, name in zip(places, names, strict=True):
                found[i] = replace(parts[i], name=name)
    return found


def _sort(part: Profiled) -> str | None:
    plain = part.name.split(" (")[0]
    return "heavy" if plain in HEAVY else KINDS.get(plain)
