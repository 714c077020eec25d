"""Reports whose models say something of each image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from edgekit.build_folder.report import Report
from edgekit.evaluation.predictions import DIGEST, JudgedImages, Predictions
from tests.build_folder.samples import figure, sample_report


def digest_of(image: int) -> str:
    return hashlib.sha256(str(image).encode()).hexdigest()[:DIGEST]


def answered(
    labels: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    sure: Sequence[float] | None = None,
    classes: Sequence[str] = ("a", "b"),
    name: str = "{}.png",
) -> Report:
    """
    Args:
        before: what the float models say of each image, as a place in `classes`.
        after: what every compressed file says.
        sure: how probable the float models call their answers.
        name: of an image, with its number to be filled in.
    """
    report = sample_report()
    judged = JudgedImages(
        names=tuple(name.format(i) for i in range(len(labels))),
        digests=tuple(map(digest_of, range(len(labels)))),
        labels=tuple(labels),
    )
    shares = tuple(sure or [0.9] * len(labels))
    for row in report.rows:
        said = before if row.baseline else after
        row.predictions = Predictions(classes=tuple(said), probabilities=shares)
        recall = dict.fromkeys(classes, figure(90 if row.baseline else 89))
        row.validation = row.validation.model_copy(update={"recall": recall})
    data = report.data.model_copy(update={"classes": list(classes)})
    return Report.model_validate(dict(report) | {"judged": judged, "data": data})
