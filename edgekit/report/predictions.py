"""What a build's models said of each image that judged them."""

from __future__ import annotations

import json

import numpy as np

from edgekit.data.images import ImagesMetadata
from edgekit.data.splits import SplitsMetadata
from edgekit.evaluation.predictions import DIGEST, JudgedImages, Predictions, predictions_of
from edgekit.evaluation.score_meaning import meaning_of
from edgekit.pipeline.draft import REFERENCE, SPLITS, images
from edgekit.pipeline.run import Build, RowResult, TargetResult


def judged_images(build: Build) -> JudgedImages | None:
    """None where names and images cannot be told to be the same."""
    split = build.plan.recipe.data.evaluate_on
    decoded = build.artifacts.get(images(split))
    if decoded is None:
        return None
    unreadable = decoded.described_by(ImagesMetadata).unreadable
    rows = json.loads(build.artifacts[SPLITS].verified("splits.json").read_bytes())[split]
    rows = [row for row in rows if not any(u.startswith(f"{row[0]}: ") for u in unreadable)]
    labels = np.load(decoded.verified("labels.npy"))
    classes = build.artifacts[SPLITS].described_by(SplitsMetadata).classes
    if [label for _, label, _ in rows] != [classes[i] for i in labels]:
        return None
    return JudgedImages(
        names=tuple(name for name, _, _ in rows),
        digests=tuple(digest[:DIGEST] for _, _, digest in rows),
        labels=tuple(labels.tolist()),
    )


def predictions(build: Build, target: TargetResult, result: RowResult) -> Predictions | None:
    """Of a float model, and of what a variant came to: its last file, and its last that passed."""
    own = [row for row in target.rows if row.row.variant == result.row.variant]
    passed = [row for row in own if not row.broken]
    ends = [own[-1], *passed[-1:]]
    if not (result.row.baseline or any(result is end for end in ends)):
        return None
    meaning = meaning_of(np.load(build.artifacts[REFERENCE].verified("scores.npy")))
    scores = np.load(build.artifacts[result.row.validation].verified("scores.npy"))
    return predictions_of(scores, meaning)
