"""Whether a build has judged by pictures that it trained on in another size or encoding."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from edgekit.build.draft import SPLITS, images
from edgekit.build.run import Build
from edgekit.data.images import ImagesMetadata
from edgekit.data.near_duplicates import fingerprints, near_duplicates
from edgekit.data.problem import DataProblem, ProblemKind, counted
from edgekit.engine.artifact import Artifact

MANY = 100_000
"""Images of a split beyond which none is looked for: it would take minutes."""


def near_problem(build: Build) -> list[DataProblem]:
    """What is told of them; of a build that does not train, nothing."""
    judge = build.plan.recipe.data.evaluate_on
    judged, learned = (build.artifacts.get(images(split)) for split in (judge, "train"))
    if judged is None or learned is None:
        return []
    found = _found(judged.file("images.npy"), learned.file("images.npy"))
    if not found:
        return []
    rows = json.loads(build.artifacts[SPLITS].file("splits.json").read_text(encoding="utf-8"))
    first = min(found)
    pair = (_names(judged, rows[judge])[first], _names(learned, rows["train"])[found[first]])
    seem = "seems" if len(found) == 1 else "seem"
    return [
        DataProblem(
            kind=ProblemKind.NEAR,
            count=len(found),
            words=f"{counted(len(found), f'{judge} image')} {seem} to stand in the train split "
            "too, in another size or encoding",
            example=" and ".join(pair),
            advice="They count all the same; what a model was trained on proves little",
        )
    ]


@lru_cache(maxsize=4)  # each target of a build has the same
def _found(judged: Path, learned: Path) -> dict[int, int]:
    both = [np.load(path, mmap_mode="r") for path in (judged, learned)]
    if max(map(len, both)) > MANY:
        return {}
    return near_duplicates(*map(fingerprints, both))


def _names(artifact: Artifact, rows: list[list[str]]) -> list[str]:
    """Of the images that could be decoded, in their order."""
    lost = artifact.described_by(ImagesMetadata).unreadable
    return [row[0] for row in rows if not any(line.startswith(f"{row[0]}: ") for line in lost)]
