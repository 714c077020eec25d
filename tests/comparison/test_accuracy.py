"""Two models are paired where the same images judged them, and nowhere else."""

from __future__ import annotations

import pytest

from edgekit.comparison.accuracy import compare_accuracy
from edgekit.evidence import Evidence, Verdict
from tests.comparison.samples import judged, side

RIGHT = dict.fromkeys(range(40), ("a", "a"))


def wrong_on(images: range) -> dict[int, tuple[str, str]]:
    return RIGHT | dict.fromkeys(images, ("a", "b"))


def test_a_loss_that_is_significant() -> None:
    found = compare_accuracy(side("A", judged(RIGHT)), side("B", judged(wrong_on(range(8)))))
    assert found.change
    assert (found.change.lost, found.change.won, found.images) == (8, 0, 40)
    assert found.change.drop.value == 20.0
    assert found.change.drop.evidence is Evidence.HOST
    assert found.verdict is Verdict.WORSE
    assert [image.turn for image in found.flipped] == ["lost"] * 8
    assert [answer.name for answer in found.flipped[0].answers] == ["a", "b"]


def test_a_loss_of_three_is_none() -> None:
    found = compare_accuracy(side("A", judged(RIGHT)), side("B", judged(wrong_on(range(3)))))
    assert (found.verdict, len(found.flipped), found.reason) == (Verdict.CANNOT_TELL, 3, "")


def test_other_images_give_no_verdict_and_are_counted() -> None:
    few = {i: answer for i, answer in wrong_on(range(20)).items() if i < 30}
    more = {**few, 50: ("a", "a")}
    found = compare_accuracy(side("A", judged(RIGHT)), side("B", judged(more)))
    assert (found.images, found.only, found.change) == (30, (10, 1), None)
    assert found.verdict is Verdict.CANNOT_TELL
    assert "different images: 30 the same, 10 of the first alone, 1 of the second" in found.reason
    assert len(found.flipped) == 20, "those of the same images are shown all the same"


def test_an_image_under_another_label_is_another() -> None:
    other = RIGHT | {0: ("b", "b")}
    found = compare_accuracy(side("A", judged(RIGHT)), side("B", judged(other)))
    assert (found.images, found.relabelled, found.change) == (39, 1, None)
    assert "1 labelled otherwise" in found.reason


def test_answers_that_nobody_kept() -> None:
    found = compare_accuracy(side("A", judged(RIGHT)), side("B"))
    assert (found.reason, found.change) == ("it kept none", None)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [(Evidence.MEASURED, Evidence.HOST), (Evidence.EMULATED, Evidence.HOST)],
)
def test_a_figure_is_of_its_weaker_evidence(evidence: Evidence, expected: Evidence) -> None:
    on_device = side("B", judged(RIGHT), evidence=evidence)
    found = compare_accuracy(side("A", judged(RIGHT)), on_device)
    assert found.change
    assert found.change.drop.evidence is expected
