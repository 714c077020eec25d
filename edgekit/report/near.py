"""Whether a build has judged by pictures that it trained on in another size or encoding."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from edgekit.data.images import ImagesMetadata
from edgekit.data.near_duplicates import MOST_ALIKE, Twins, fingerprints, near_duplicates
from edgekit.data.problem import DataProblem, ProblemKind, counted, in_train_too
from edgekit.engine.artifact import Artifact
from edgekit.pipeline.draft import SPLITS, images
from edgekit.pipeline.run import Build

MANY = 100_000
"""Images of a split beyond which no twin is looked for: it would take minutes."""

UNSEARCHED = "the train split was not searched for judged images in another size"


def near_problem(build: Build) -> list[DataProblem]:
    """What is told of them; of a build that does not train, nothing."""
    judge = build.plan.recipe.data.evaluate_on
    judged, learned = (build.artifacts.get(images(split)) for split in (judge, "train"))
    if judged is None or learned is None:
        return []
    twins = _twins(judged.file("images.npy"), learned.file("images.npy"))
    if twins is None:
        count = judged.described_by(ImagesMetadata).images
        return [_unknown(count, f"{UNSEARCHED}: a split has more than {MANY:,} images")]
    problems = [_found(build, twins.found)] if twins.found else []
    if twins.unsure:
        alike = f"{counted(twins.unsure, f'{judge} image')}, for which it holds too many alike"
        words = f"{UNSEARCHED} as a whole for {alike}: {MOST_ALIKE:,} were compared with each"
        problems.append(_unknown(twins.unsure, words))
    return problems


def _unknown(count: int, words: str) -> DataProblem:
    return DataProblem(kind=ProblemKind.NEAR, count=count, words=words)


def _found(build: Build, found: dict[int, int]) -> DataProblem:
    judge = build.plan.recipe.data.evaluate_on
    judged, learned = (build.artifacts[images(split)] for split in (judge, "train"))
    rows = json.loads(build.artifacts[SPLITS].file("splits.json").read_text(encoding="utf-8"))
    first = min(found)
    pair = (_names(judged, rows[judge])[first], _names(learned, rows["train"])[found[first]])
    return DataProblem(
        kind=ProblemKind.NEAR,
        count=len(found),
        words=in_train_too(len(found), f"{judge} image"),
        example=" and ".join(pair),
        advice="They count all the same; what a model was trained on proves little",
    )


@lru_cache(maxsize=4)  # each target of a build has the same
def _twins(judged: Path, learned: Path) -> Twins | None:
    """None where there are too many to look for any."""
    both = [np.load(path, mmap_mode="r") for path in (judged, learned)]
    if max(map(len, both)) > MANY:
        return None
    return near_duplicates(fingerprints(both[0]), fingerprints(both[1]))


def _names(artifact: Artifact, rows: list[list[str]]) -> list[str]:
    """Of the images that could be decoded, in their order."""
    lost = artifact.described_by(ImagesMetadata).unreadable
    return [row[0] for row in rows if not any(line.startswith(f"{row[0]}: ") for line in lost)]
