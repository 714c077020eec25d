"""Paired accuracy: two models on the same images (pure)."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edgekit.comparison.record import AccuracyComparison, FlippedImage
from edgekit.comparison.side import JudgedImage
from edgekit.evaluation.metrics import AccuracyChange, change_of
from edgekit.evidence import Evidence, Verdict

WEAKEST_FIRST = (Evidence.ESTIMATED, Evidence.HOST, Evidence.EMULATED, Evidence.MEASURED)
OF_TWO_KINDS = (
    "a build knows its images by their files, a device report by their pixels: they are not paired"
)
TURNS = ("lost", "won", "both wrong")


class Judged(Protocol):
    """What has answers to images: a `Side`, and a row of the history."""

    @property
    def kind(self) -> str: ...
    @property
    def judged(self) -> dict[str, JudgedImage] | None: ...
    @property
    def without_answers(self) -> str: ...
    @property
    def evidence(self) -> Evidence: ...


def compare_accuracy(first: Judged, second: Judged) -> AccuracyComparison:
    """The second against the first, where the same images judged both; images are the same where
    their content is, whatever they are called."""
    before, after = first.judged, second.judged
    if before is None or after is None:
        told = ((first.without_answers, before), (second.without_answers, after))
        without = [why for why, answers in told if answers is None]
        return _untold("; ".join(dict.fromkeys(without)))
    if first.kind != second.kind:
        return _untold(OF_TWO_KINDS)
    shared = [digest for digest in before if digest in after]
    pairs = {digest: (before[digest], after[digest]) for digest in shared}
    only = (len(before) - len(shared), len(after) - len(shared))
    return _compare_pairs(pairs, only, (first.evidence, second.evidence))


def _compare_pairs(
    pairs: dict[str, tuple[JudgedImage, JudgedImage]],
    only: tuple[int, int],
    evidence: tuple[Evidence, Evidence],
) -> AccuracyComparison:
    """
    Args:
        pairs: what each says of the images that both judged, by their digests.
        only: how many images the first alone judged, and how many the second.
    """
    same = {digest: pair for digest, pair in pairs.items() if pair[0].label == pair[1].label}
    relabelled = len(pairs) - len(same)
    reason = _difference(len(same), only, relabelled)
    change = None if reason else _change(list(same.values()), *evidence)
    return AccuracyComparison(
        images=len(same),
        only=only,
        relabelled=relabelled,
        change=change,
        verdict=change.verdict if change else Verdict.CANNOT_TELL,
        reason=reason,
        flipped=tuple(sorted(flipped_images(same), key=_place)),
    )


def flipped_images(pairs: dict[str, tuple[JudgedImage, JudgedImage]]) -> list[FlippedImage]:
    """
    Args:
        pairs: what two models say of each image, by its digest.
    """
    return [*filter(None, (_flipped(digest, *pair) for digest, pair in pairs.items()))]


def _change(pairs: list[tuple[JudgedImage, JudgedImage]], *evidence: Evidence) -> AccuracyChange:
    before, after = (
        np.array([each.is_right for each in column]) for column in zip(*pairs, strict=True)
    )
    return change_of(before, after, min(evidence, key=WEAKEST_FIRST.index))


def _untold(reason: str) -> AccuracyComparison:
    return AccuracyComparison(
        images=0, only=(0, 0), relabelled=0, change=None, verdict=Verdict.CANNOT_TELL,
        reason=reason, flipped=(),
    )  # fmt: skip


def _difference(same: int, only: tuple[int, int], relabelled: int) -> str:
    """How the images differ; empty where they do not.

    >>> _difference(540, (16, 0), 0)
    'they were judged by different images: 540 the same, 16 of the first alone'
    """
    counts = {
        "of the first alone": only[0],
        "of the second alone": only[1],
        "labelled otherwise": relabelled,
    }
    found = [f"{count:,} {what}" for what, count in counts.items() if count]
    if not found:
        return "" if same else "no image judged either"
    return ", ".join([f"they were judged by different images: {same:,} the same", *found])


def _flipped(digest: str, before: JudgedImage, after: JudgedImage) -> FlippedImage | None:
    if before.answer.name == after.answer.name:
        return None
    return FlippedImage(
        name=before.name,
        digest=digest,
        label=before.label,
        answers=(before.answer, after.answer),
        turn="lost" if before.is_right else "won" if after.is_right else "both wrong",
    )


def _place(image: FlippedImage) -> tuple[int, float]:
    """What was lost first, and of it what the second is surest of."""
    return TURNS.index(image.turn), -image.answers[1].probability
