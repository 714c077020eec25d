"""What `init` tells of photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.data.problem import DataProblem
    from edgekit.models.model_file import ModelFile
    from edgekit.setup.choices import Choices
    from edgekit.setup.photos import PhotoSet, Shapes


def photo_lines(
    found: PhotoSet,
    shapes: Shapes,
    choices: Choices,
    model: ModelFile | None,
    problems: Iterable[DataProblem],
) -> Iterator[str]:
    """What is odd about the photos, and too few of them."""
    from edgekit.setup.choices import is_decidable

    for problem in (*problems, *found.problems):
        yield f"data: {problem}"
    if choices.new_head and model:
        yield (
            f"model: it has {model.scores or 'no'} classes, and the photos have "
            f"{len(found.classes)}: a new classifier is trained. If that is not meant, give --data "
            "a folder for each of its classes"
        )
    if shapes.grey:
        yield "data: all photos are grey: a model of three channels is given the same in each"
    if choices.max_drop is None:
        point = 100 / found.judged
        yield (
            f"data: {found.judged} photos judge, each of them {point:.2g} points: that is too "
            "coarse for a gate on accuracy, and none is asked"
        )
    if not is_decidable(found):
        yield (
            f"data: {found.judged} photos are too few to show that a model has learned anything, "
            "and the build will say untrained: give more"
        )
