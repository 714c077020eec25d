"""Which images flip, and what that does to each class."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.report import image_changes as module
from edgekit.report.image_changes import image_changes
from edgekit.report.render import Beside, render_html
from tests.build_folder.samples import sample_report
from tests.report.answers import answered, digest_of

ANSWERS = st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=30)


def test_what_float_was_surest_of_comes_first() -> None:
    report = answered([0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 1, 0], [0.6, 0.9, 0.8, 0.7])
    (litert, onnx) = image_changes(report)
    assert (litert.row.variant, litert.row.stage) == ("litert", "export")
    assert onnx.row.variant == "onnxruntime"
    assert [(i.name, i.turn) for i in litert.flipped] == [
        ("2.png", "won"), ("3.png", "lost"), ("0.png", "lost"),
    ]  # fmt: skip
    assert litert.turns == {"lost": 2, "won": 1}


@given(ANSWERS)
def test_flips_and_matrices_tell_of_the_same_images(answers: list[tuple[int, int, int]]) -> None:
    labels, before, after = zip(*answers, strict=True)
    changes = image_changes(answered(labels, before, after, classes=("a", "b", "c")))[0]
    assert changes.confusion
    matrices = changes.confusion
    assert all(sum(map(sum, matrix)) == len(answers) for matrix in matrices)
    right = [sum(matrix[i][i] for i in range(3)) for matrix in matrices]
    turns = changes.turns
    assert right[0] - right[1] == turns.get("lost", 0) - turns.get("won", 0)
    assert sum(turns.values()) == sum(a != b for a, b in zip(before, after, strict=True))


def test_what_is_not_shown_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FLIPS", 3)
    report = answered([0] * 10, [0] * 10, [1] * 10)
    assert [each.unshown for each in image_changes(report)] == [7, 0]
    assert "7 more are in report.json" in render_html(report)


def test_of_many_classes_those_most_often_mistaken_are_named() -> None:
    names = tuple(f"class {i}" for i in range(20))
    report = answered([0, 0, 0, 5], [0, 0, 7, 5], [7, 7, 7, 5], classes=names)
    changes = image_changes(report)[0]
    assert changes.confusion is None
    (most,) = changes.mistaken
    assert (most.label, most.answer, most.before, most.after) == ("class 0", "class 7", 1, 3)


def test_a_report_without_answers_says_so_and_still_tells_recall() -> None:
    page = render_html(sample_report())
    assert "An older edgekit kept no answers" in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page


def test_a_picture_stands_beside_its_answers() -> None:
    report = answered([0, 1], [0, 1], [1, 1], name="<b>{}.png")
    pictures = {digest_of(0): "/9j/abc", digest_of(1): "/9j/other"}
    page = render_html(report, Beside(pictures=pictures))
    assert 'src="data:image/jpeg;base64,/9j/abc"' in page
    assert "/9j/other" not in page  # it does not flip
    assert re.search(r"&lt;b&gt;0\.png.{0,80}labelled <bdi>a</bdi>: lost", page)
    assert "No thumbnails: gone" in render_html(report, Beside(no_pictures="gone"))
