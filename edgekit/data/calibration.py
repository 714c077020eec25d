"""Which images the ranges of a quantised model are calibrated on."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from edgekit.data.inventory import MAX_SHOWN, rank
from edgekit.data.sources.base import Sample
from edgekit.errors import DataError


@dataclass(frozen=True)
class CalibrationChoice:
    """How many calibration images, and whether each validated class must be among them."""

    samples: int
    every_class: bool = True
    after: int = 0
    """So many images, those of a choice without it, are taken by another purpose."""


def calibration_pool(splits: dict[str, list[Sample]]) -> list[Sample]:
    """The images that may be calibrated on: a calibration split's, or else the training split's."""
    return splits.get("calibration") or splits.get("train") or []


def pick_calibration(
    splits: dict[str, list[Sample]], digests: dict[str, str], choice: CalibrationChoice, judge: str
) -> list[Sample]:
    """A stratified choice of calibration images, from the training side only (pure).

    Args:
        judge: the split that accuracy is measured on, whose classes calibration should see.

    Raises:
        DataError: there are too few images, or a class is missing.
    """
    pool = calibration_pool(splits)
    if not pool:
        raise DataError(
            f"there are no images to calibrate on: found {', '.join(sorted(splits))}",
            hint="add training images, or a calibration split",
        )
    classes: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(pool, key=lambda s: rank("calibration", digests[s.name])):
        classes[sample.label].append(sample)
    if choice.every_class:
        _refuse_absent_classes({s.label for s in splits[judge]}, set(classes))
    _refuse_too_few(choice, len(pool), len(classes))
    count = min(choice.after + choice.samples, len(pool))
    return _by_share(classes, count)[choice.after :]


def _refuse_absent_classes(wanted: set[str], found: set[str]) -> None:
    absent = sorted(wanted - found)
    if absent:
        raise DataError(
            f"calibration has no image of {len(absent)} classes: {', '.join(absent[:MAX_SHOWN])}",
            hint="add training images of these classes, or set the stage's every_class: false; a "
            "class that calibration never saw may be clipped",
        )


def _refuse_too_few(choice: CalibrationChoice, images: int, classes: int) -> None:
    if choice.after and images < choice.after + choice.samples:
        raise DataError(
            f"{choice.after} images to calibrate on and {choice.samples} to hold back are more "
            f"than the {images} of the training side",
            hint="lower the stage's samples or held_back, or add images",
        )
    if choice.samples < classes and choice.every_class:
        raise DataError(
            f"{choice.samples} calibration images cannot hold {classes} classes",
            hint=f"set the stage's samples to {classes} or more",
        )


def _by_share(classes: dict[str, list[Sample]], count: int) -> list[Sample]:
    """So many samples, the classes in proportion: the next is always of the class that lags
    furthest behind its share. Any beginning of the list is in proportion too."""
    chosen: list[Sample] = []
    taken: Counter[str] = Counter()
    for _ in range(count):
        label = min(
            (name for name in classes if taken[name] < len(classes[name])),
            key=lambda name: (taken[name] > 0, taken[name] / len(classes[name]), name),
        )
        chosen.append(classes[label][taken[label]])
        taken[label] += 1
    return chosen
