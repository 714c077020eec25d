"""From listed images to splits: a division that never overlaps.

Splits follow from the images' content alone: each class is ordered by a hash of (seed, content
digest) and the first ones are kept for validation. So they do not depend on file names or order,
an image added later moves at most one other, the one of its class at the boundary, and two copies
of one image always land in the same split.
What is judged on holds each image once: copies would narrow every interval and tell nothing new.
Copies in the training side stay, as they may be meant to weigh more.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

from edgekit.data.inventory import Inventory, rank, shown
from edgekit.data.problem import counted
from edgekit.data.sources.base import Sample, Source
from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json, Metadata
from edgekit.errors import DataError

MAX_PAIRS = 3
"""Named in a message."""


def divide(inventory: Inventory, source: Source) -> dict[str, list[Sample]]:
    """Divide the samples into splits (pure). Of the images that accuracy is measured on, the first
    of several copies is taken.

    Args:
        inventory: without `contradictions`, which a plan refuses once.

    Raises:
        DataError: a split or a class is empty.
    """
    samples = inventory.listing.samples
    splits: dict[str, list[Sample]] = defaultdict(list)
    if any(s.split for s in samples):
        undecided = [s for s in samples if s.split is None]
        if undecided:
            raise DataError(f"{len(undecided)} images have no split: {shown(undecided)}")
        for sample in samples:
            splits[str(sample.split)].append(sample)
    else:
        kept = _kept_for_validation(inventory, source)
        for sample in samples:
            name = "validation" if inventory.digests[sample.name] in kept else "train"
            splits[name].append(sample)
    _leave_out(splits, inventory, source.evaluate_on)
    if source.evaluate_on not in splits:
        raise DataError(
            f"there is no {source.evaluate_on} split: found {', '.join(sorted(splits))}",
            hint="set data.evaluate_on to the split that accuracy is to be measured on",
        )
    judged = splits[source.evaluate_on]
    splits[source.evaluate_on] = _first_of_copies(judged, inventory.digests)
    return dict(splits)


def _leave_out(splits: dict[str, list[Sample]], inventory: Inventory, judged: str) -> None:
    """After the division, so that no other image moves."""
    for name, samples in [*splits.items()]:
        left = [sample for sample in samples if sample.name not in inventory.left_out]
        if left:
            splits[name] = left
        elif name == judged:
            raise DataError(
                f"none of the {len(samples)} {name} images can be read: {shown(samples)}",
                hint="repair them, or add others",
            )
        else:
            del splits[name]


def _first_of_copies(samples: list[Sample], digests: dict[str, str]) -> list[Sample]:
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(digests[sample.name], sample)
    return list(first.values())


def count_doubled(inventory: Inventory, splits: dict[str, list[Sample]]) -> int:
    """Listed rows that `divide` left out as copies."""
    listed = len(inventory.listing.samples) - len(inventory.left_out)
    return listed - sum(map(len, splits.values()))


def doubled_remark(doubled: int, images: int, split: str, rows: bool = True) -> str:
    """
    Args:
        rows: a table names files again; otherwise files hold what others hold.

    >>> doubled_remark(72, 24, "validation")
    '72 of 96 rows of the validation split list an image again; each image counts once'
    >>> doubled_remark(1, 36, "test", rows=False)
    '1 of 37 files of the test split holds an image again; each image counts once'
    """
    if not doubled:
        return ""
    what, verb = ("rows", "list") if rows else ("files", "hold")
    return (
        f"{doubled} of {images + doubled} {what} of the {split} split {verb}"
        f"{'s' if doubled == 1 else ''} an image again; each image counts once"
    )


class SplitsMetadata(Metadata):
    """Of a data set that was divided."""

    classes: tuple[str, ...]
    fingerprint: str
    """Of all images and their labels."""
    counts: dict[str, dict[str, int]]
    """Images of each class in each split."""
    doubled: int = 0
    """Rows that list an image of the judged split again; they are not in `counts`."""


class SplitData(Action):
    """Write splits.json: which image is in which split."""

    version = 2

    def __init__(self, source: Source, inventory: Inventory) -> None:
        self.source = source
        self.inventory = inventory

    def settings(self) -> Json:
        chosen = {"source", "validation_share", "seed", "evaluate_on"}
        fields = self.source.model_dump(mode="json", include=chosen)
        left_out = sorted(self.inventory.left_out)
        return {
            **fields,
            "fingerprint": self.inventory.fingerprint,
            **({"left_out": left_out} if left_out else {}),
        }

    def run(self, inputs: Inputs, into: Path, context: Context) -> SplitsMetadata:
        splits = divide(self.inventory, self.source)
        counts = {name: Counter(s.label for s in split) for name, split in splits.items()}
        rows = {
            name: [[s.name, s.label, self.inventory.digests[s.name]] for s in split]
            for name, split in splits.items()
        }
        (into / "splits.json").write_text(json.dumps(rows, indent=0), encoding="utf-8")
        return SplitsMetadata(
            classes=self.inventory.listing.classes,
            fingerprint=self.inventory.fingerprint,
            counts={name: dict(count) for name, count in counts.items()},
            doubled=count_doubled(self.inventory, splits),
        )


def _kept_for_validation(inventory: Inventory, source: Source) -> set[str]:
    by_class: dict[str, set[str]] = defaultdict(set)
    for sample in inventory.listing.samples:
        by_class[sample.label].add(inventory.digests[sample.name])
    kept: set[str] = set()
    for label in inventory.listing.classes:
        digests = sorted(by_class[label], key=lambda d: rank(source.seed, d))
        if len(digests) < 2:
            raise DataError(
                f"images of class {label!r} that differ: {len(digests)}; at least 2 are needed, "
                "one to train on and one to validate",
            )
        count = min(max(1, round(source.validation_share * len(digests))), len(digests) - 1)
        kept.update(digests[:count])
    return kept


def contradictions(inventory: Inventory) -> list[DataError]:
    """What no build can go on with: classes without images, images with two labels, or in two
    splits."""
    refused = [*inventory.listing.refusals]
    if pairs := _two_labels(inventory):
        refused.append(
            DataError(
                f"{counted(len(pairs), 'image')} bear{'s' if len(pairs) == 1 else ''} two labels:"
                f"{_first_of(pairs)}",
                hint="remove one of the two, or both where nobody knows which is right",
            )
        )
    if pairs := _two_splits(inventory):
        refused.append(
            DataError(
                f"{counted(len(pairs), 'image')} of one split "
                f"stand{'s' if len(pairs) == 1 else ''} in another one too:{_first_of(pairs)}",
                hint="an image that was trained on proves nothing; remove one of the two",
            )
        )
    return refused


def _two_labels(inventory: Inventory) -> list[str]:
    labels: dict[str, Sample] = {}
    pairs = []
    for sample in inventory.listing.samples:
        first = labels.setdefault(inventory.digests[sample.name], sample)
        if first.label != sample.label:
            pairs.append(f"{first.path} is {first.label!r}, {sample.path} is {sample.label!r}")
    return pairs


def _two_splits(inventory: Inventory) -> list[str]:
    """Split by split, in the order in which the listing names them."""
    seen: dict[str, Sample] = {}
    pairs = []
    order = dict.fromkeys(sample.split for sample in inventory.listing.samples)
    for sample in (s for split in order for s in inventory.listing.samples if s.split == split):
        first = seen.setdefault(inventory.digests[sample.name], sample)
        if first.split != sample.split:
            pairs.append(f"{first.path} ({first.split}) and {sample.path} ({sample.split})")
    return pairs


def _first_of(pairs: list[str]) -> str:
    more = f"\n  and {len(pairs) - MAX_PAIRS} more" if len(pairs) > MAX_PAIRS else ""
    return "".join(f"\n  {pair}" for pair in pairs[:MAX_PAIRS]) + more
