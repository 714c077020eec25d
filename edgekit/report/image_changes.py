"""Image by image and class by class: what a compressed file answers otherwise than its float twin.

From the report alone; which images flip is what `edgekit compare` says of the two.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edgekit.build_folder.report import Report, RowRecord
from edgekit.comparison.accuracy import flipped_images
from edgekit.comparison.record import FlippedImage
from edgekit.comparison.side import JudgedImage, judged_by_digest
from edgekit.evidence import Measurement

MAX_FLIPS, MAX_FLIPS_OF_OTHERS = 60, 20
"""Of the variant to take, and of each other one; the rest is counted."""
MAX_MATRIX = 12
"""Classes of which a matrix can be read; of more, the pairs that are most often mistaken."""
MAX_PAIRS = 20
MAX_CLASSES = 200
"""In the table of recall, those that lost most first."""

Pairs = dict[str, tuple[JudgedImage, JudgedImage]]


@dataclass(frozen=True)
class Mistaken:
    """How often the images of a class were taken for another one."""

    label: str
    answer: str
    before: int
    after: int


@dataclass(frozen=True)
class ClassChange:
    """Recall of a class, of the float file and of the compressed one, in percent."""

    name: str
    before: Measurement
    after: Measurement

    @property
    def change(self) -> float:
        return self.after.value - self.before.value


@dataclass(frozen=True)
class ImageChanges:
    """One compressed file against the float file of its runtime."""

    row: RowRecord
    images: int
    flipped: tuple[FlippedImage, ...]
    """The surest answers of the float model first; as many as are shown."""
    turns: dict[str, int]
    """How many there are of each: lost, won, both wrong."""
    confusion: tuple[list[list[int]], list[list[int]]] | None
    """Images by label and answer, of both files; None of many classes."""
    mistaken: tuple[Mistaken, ...]
    classes: tuple[ClassChange, ...]
    more_classes: int

    @property
    def unshown(self) -> int:
        return sum(self.turns.values()) - len(self.flipped)


def image_changes(report: Report) -> list[ImageChanges]:
    """Of the last file of each variant, with the one to take first."""
    last: dict[str, tuple[RowRecord, RowRecord]] = {}
    plain = {row.variant: row for row in report.rows if row.baseline}
    for row in report.rows:
        if not row.baseline and row.predictions and row.variant in plain:
            last[row.variant] = plain[row.variant], row
    chosen = report.chosen
    order = sorted(last, key=lambda variant: variant != chosen)
    return [_changes(report, *last[name], name == order[0]) for name in order]


def _changes(report: Report, plain: RowRecord, row: RowRecord, is_first: bool) -> ImageChanges:
    pairs = _pairs(report, plain, row)
    flipped = sorted(flipped_images(pairs), key=lambda image: -image.answers[0].probability)
    most = MAX_FLIPS if is_first else MAX_FLIPS_OF_OTHERS
    classes = _class_changes(plain, row)
    few = len(report.data.classes) <= MAX_MATRIX
    return ImageChanges(
        row=row,
        images=len(pairs),
        flipped=tuple(flipped[:most]),
        turns=dict(Counter(image.turn for image in flipped)),
        confusion=_confusion(pairs, report.data.classes) if few and pairs else None,
        mistaken=() if few else _mistaken(pairs),
        classes=tuple(classes[:MAX_CLASSES]),
        more_classes=max(0, len(classes) - MAX_CLASSES),
    )


def _pairs(report: Report, plain: RowRecord, row: RowRecord) -> Pairs:
    before, after = (
        judged_by_digest(report.judged, each.predictions, report.data.classes) or {}
        for each in (plain, row)
    )
    return {digest: (said, after[digest]) for digest, said in before.items() if digest in after}


def _confusion(pairs: Pairs, classes: list[str]) -> tuple[list[list[int]], list[list[int]]]:
    both = []
    for side in (0, 1):
        counts = Counter((pair[side].label, pair[side].answer.name) for pair in pairs.values())
        both.append([[counts[label, answer] for answer in classes] for label in classes])
    return both[0], both[1]


def _mistaken(pairs: Pairs) -> tuple[Mistaken, ...]:
    counts: list[Counter[tuple[str, str]]] = [Counter(), Counter()]
    for pair in pairs.values():
        for side, said in enumerate(pair):
            if not said.is_right:
                counts[side][said.label, said.answer.name] += 1
    before, after = counts
    most = sorted({*before, *after}, key=lambda k: (-after[k] - before[k], k))
    return tuple(Mistaken(*key, before[key], after[key]) for key in most[:MAX_PAIRS])


def _class_changes(plain: RowRecord, row: RowRecord) -> list[ClassChange]:
    before, after = plain.validation.recall, row.validation.recall
    both = [ClassChange(name, before[name], after[name]) for name in before if name in after]
    return sorted(both, key=lambda one: one.change)
