"""What a front is worth in one number."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any


def hypervolume(points: Sequence[Sequence[Any]], reference: Sequence[float]) -> float:
    """The volume that points dominate up to a reference: all figures the less the better. Exact, by
    slicing the last figure (Bringmann and Friedrich 2010 name it HSO).

    >>> hypervolume([(0, 0)], (2, 3)), hypervolume([(0, 2), (1, 0)], (2, 3))
    (6.0, 4.0)
    """
    inside = [p for p in points if all(a < r for a, r in zip(p, reference, strict=True))]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - min(p[0] for p in inside))
    levels = [*sorted({p[-1] for p in inside}), reference[-1]]
    total = 0.0
    for low, high in pairwise(levels):
        layer = [p[:-1] for p in inside if p[-1] <= low]
        total += (high - low) * hypervolume(layer, reference[:-1])
    return total
