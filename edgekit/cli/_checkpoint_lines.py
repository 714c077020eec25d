"""What `inspect` tells of a checkpoint."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgekit.printable import one_line

if TYPE_CHECKING:
    from edgekit.inspection.checkpoint import CheckpointSummary


def checkpoint_lines(found: CheckpointSummary) -> Iterator[str]:
    yield f"{found.file}: a checkpoint of torch, {found.bytes / 1e6:.2f} MB"
    yield one_line(f"weights: {_taken(found)}")
    if found.prefix:
        yield one_line(found.prefix)
    types = ", ".join(f"{count} {dtype}" for dtype, count in found.dtypes.items())
    yield f"tensors: {found.tensors} ({types}), {found.parameters:,} parameters"
    source = "as the file says" if found.arch_is_said else "by its tensors"
    yield (
        f"architecture: {found.arch} ({source})"
        if found.arch
        else ("architecture: the file does not say it, and none of the common ones fits")
    )
    if found.classes is not None:
        yield f"classifier: {found.classes} classes" if found.classes else "classifier: none"
    yield "what loads it in a recipe beside it:"
    yield from (f"  {line}" for line in found.recipe.splitlines())
    yield f"with photos: edgekit init {shlex.quote(found.file)} --data FOLDER"


def _taken(found: CheckpointSummary) -> str:
    where = found.taken or "the file's own names"
    if not found.state:
        return where
    kinds = {"ema": ("averaged (EMA)", "raw"), "raw": ("raw", "averaged (EMA)")}
    own, other = kinds[found.state]
    return f"{where}, the {own} ones; {found.other} holds the {other} ones"
