"""A report keeps what was said of each image, in little room, and refuses what does not fit."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.build_folder.report import Report
from edgekit.evaluation.predictions import DIGEST, JudgedImages, Predictions, predictions_of
from tests.build_folder.samples import sample_report

MEGABYTE = 10**6


def images(count: int) -> JudgedImages:
    return JudgedImages(
        names=tuple(f"validation/defective/cell{i:05}.png" for i in range(count)),
        digests=tuple(hashlib.sha256(str(i).encode()).hexdigest()[:DIGEST] for i in range(count)),
        labels=tuple(i % 2 for i in range(count)),
    )


def with_predictions(count: int) -> Report:
    report = sample_report()
    said = predictions_of(np.random.default_rng(0).normal(0, 3, (count, 2)).astype("f4"), "logits")
    rows = [row.model_copy(update={"predictions": said}) for row in report.rows]
    return report.model_copy(update={"judged": images(count), "rows": rows})


def test_five_thousand_images_take_less_than_a_megabyte() -> None:
    plain = len(sample_report().model_dump_json(indent=1))
    report = with_predictions(5000)
    assert len(report.rows) == 6
    written = report.model_dump_json(indent=1)
    assert len(written) - plain < MEGABYTE
    again = Report.model_validate_json(written)
    assert again == report


@pytest.mark.parametrize(
    ("scores", "meaning", "expected"),
    [
        ([[0.0, np.log(3)]], "logits", Predictions(classes=(1,), probabilities=(0.75,))),
        ([[0.8, 0.2]], "probabilities", Predictions(classes=(0,), probabilities=(0.8,))),
        ([[0.1, 1.004]], "independent", Predictions(classes=(1,), probabilities=(1.0,))),
    ],
)
def test_the_probability_follows_the_meaning_of_scores(
    scores: list[list[float]], meaning: Any, expected: Predictions
) -> None:
    found = predictions_of(np.array(scores), meaning)
    assert found.classes == expected.classes
    assert found.probabilities == pytest.approx(expected.probabilities)


@pytest.mark.parametrize(
    ("judged", "said", "words"),
    [
        ({"labels": "0 9 0 1"}, {}, "2 classes expected"),
        ({"labels": "0 1"}, {}, "as many names"),
        ({"digests": " ".join(["a" * 16] * 4)}, {}, "stands here twice"),
        ({}, {"classes": "0 1"}, "as many classes"),
        ({}, {"classes": "0 1", "probabilities": "1 1"}, "predictions of 4 images expected"),
        ({}, {"classes": "0 1 0 5"}, "2 classes expected"),
        ({}, {"classes": "0 1 0 -1"}, "greater than or equal to 0"),
        ({}, {"probabilities": "0 1 0 nan"}, "finite"),
    ],
)
def test_what_does_not_fit_is_refused(
    judged: dict[str, str], said: dict[str, str], words: str
) -> None:
    fields = json.loads(with_predictions(4).model_dump_json())
    fields["judged"] |= judged
    fields["rows"][0]["predictions"] |= said
    with pytest.raises(ValidationError, match=words):
        Report.model_validate(fields)
