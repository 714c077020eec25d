"""Kinds of instructions in the few classes that a person reads."""

from __future__ import annotations

from collections import Counter

from edgekit.cycle_model.blocks import Counts
from edgekit.cycle_model.instructions import decode

CLASSES = {
    "multiply-accumulate": ("fmla", "mla", "mlal", "mull", "mul", "fmul", "dot"),
    "vector load": ("vload",),
    "vector store": ("vstore",),
    "load or store": ("load", "store"),
    "prefetch": ("prefetch",),
    "branch": ("branch",),
    "integer": ("alu", "alu_shift", "multiply", "multiply64", "divide", "nop"),
}
OTHER_VECTOR = "other vector"


def class_of(kind: str) -> str:
    """
    >>> class_of("fmla.q"), class_of("vload_pair.d+w"), class_of("load_pair64"), class_of("narrow")
    ('multiply-accumulate', 'vector load', 'load or store', 'other vector')
    """
    stem = kind.split(".")[0].split("+")[0]
    for name, stems in CLASSES.items():
        if stem in stems:
            return name
    for name in ("vector load", "vector store", "load or store"):
        if stem.startswith(CLASSES[name]):
            return name
    return OTHER_VECTOR


def by_class(counts: Counts) -> dict[str, int]:
    """Executed instructions by class, the most frequent first."""
    found: Counter[str] = Counter()
    for block, times in counts.blocks.items():
        for word in block:
            found[class_of(decode(word).kind)] += times
    return dict(found.most_common())
