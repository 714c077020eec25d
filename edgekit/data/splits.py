"""From listed images to splits: digests, and a division that never overlaps.

Splits follow from the images' content alone: each class is ordered by a hash of (seed, content
digest) and the first ones are kept for validation. So they do not depend on file names or order,
an image added later moves at most one other, the one of its class at the boundary, and two copies
of one image always land in the same split.
What is judged on holds each image once: copies would narrow every interval and tell nothing new.
Copies in the training side stay, as they may be meant to weigh more.
Calibration images are a stratified part of the training split.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgekit.data.labels import refuse_control_characters
from edgekit.data.sources.base import Listing, Sample, Source
from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json, Metadata, digest_of, sha256_of, write_atomically
from edgekit.errors import DataError, storage_errors

MAX_SHOWN = 5  # file names in a message before "and N more"


@dataclass(frozen=True)
class Inventory:
    """A listing with the sha256 of every image file."""

    listing: Listing
    digests: dict[str, str]
    memory: Path | None = field(default=None, compare=False)
    """The file that keeps the digests of unchanged files between builds."""

    def forget(self) -> None:
        """Hash every file again in the next build: one was not what the memory said."""
        if self.memory:
            self.memory.unlink(missing_ok=True)

    @property
    def fingerprint(self) -> str:
        """Changes with any image, label, split or class name; not with where they lie."""
        rows = [(s.name, s.label, s.split, self.digests[s.name]) for s in self.listing.samples]
        return digest_of([sorted(rows, key=str), self.listing.classes])


@dataclass(frozen=True)
class CalibrationChoice:
    """How many calibration images, and whether each validated class must be among them."""

    samples: int
    every_class: bool = True
    after: int = 0
    """So many images, those of a choice without it, are taken by another purpose."""


def take_inventory(source: Source, cache: Path) -> Inventory:
    """List a source and hash its files; those whose state on the disk is unchanged are not read.

    The samples are sorted by name: the fingerprint knows no order, so the result must not either.

    Raises:
        DataError: a file is missing or cannot be read, a label or a name contradicts the listing.
    """
    with reading(getattr(source, "path", Path())):
        listing = source.listing()
        # Folder by folder, as paths are sorted: "a b/1" after "a/2".
        ordered = sorted(listing.samples, key=lambda s: s.name.split("/"))
        listing = replace(listing, samples=tuple(ordered))
        missing = [s for s in listing.samples if not s.path.is_file()]
    refuse_control_characters(listing.classes)
    _refuse_contradictions(listing)
    if missing:
        raise DataError(f"{len(missing)} listed images do not exist: {shown(missing)}")
    if len(listing.classes) < 2:
        one = "".join(listing.classes)
        raise DataError(
            f"{len(listing.classes)} class found: {one!r}; at least 2 expected",
            hint=f"is the path one folder too high? {one} was taken for the class of all images",
        )
    folders = sorted({str(sample.path.parent.resolve()) for sample in listing.samples})
    settings = source.model_dump(mode="json")
    memory = cache / f"{digest_of([settings, folders])[:16]}.json"
    return Inventory(listing, _digests(listing.samples, memory), memory)


def _digests(samples: tuple[Sample, ...], memory: Path) -> dict[str, str]:
    """sha256 by sample name, read from `memory` where the file's state is as it was then.

    Raises:
        DataError: a file cannot be read.
        StorageError: the memory cannot be written.
    """
    try:
        known: dict[str, list[Any]] = json.loads(memory.read_text())
    except (OSError, ValueError):
        known = {}
    states = {sample.path: _state(sample.path) for sample in samples}
    changed = [p for p, state in states.items() if known.get(str(p), [])[:-1] != state]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashed = dict(zip(changed, pool.map(_digest, changed), strict=True))
    fresh = {
        str(path): [*state, hashed.get(path) or known[str(path)][-1]]
        for path, state in states.items()
    }
    if fresh != known:
        with storage_errors(memory.parent):
            write_atomically(memory, json.dumps(fresh))
    return {sample.name: str(fresh[str(sample.path)][-1]) for sample in samples}


def _state(path: Path) -> list[int]:
    """What tells a changed file: the inode and its change time too, as copies can set the rest."""
    with reading(path):
        stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _digest(path: Path) -> str:
    with reading(path):
        return sha256_of(path)


def divide(inventory: Inventory, source: Source) -> dict[str, list[Sample]]:
    """Divide the samples into splits (pure). Of the images that accuracy is measured on, the first
    of several copies is taken.

    Raises:
        DataError: a split or a class is empty, the same image stands in two splits or bears
            two labels.
    """
    samples = inventory.listing.samples
    _refuse_two_labels(inventory)
    splits: dict[str, list[Sample]] = defaultdict(list)
    if any(s.split for s in samples):
        undecided = [s for s in samples if s.split is None]
        if undecided:
            raise DataError(f"{len(undecided)} images have no split: {shown(undecided)}")
        for sample in samples:
            splits[str(sample.split)].append(sample)
        _refuse_overlap(splits, inventory)
    else:
        kept = _kept_for_validation(inventory, source)
        for sample in samples:
            name = "validation" if inventory.digests[sample.name] in kept else "train"
            splits[name].append(sample)
    if source.evaluate_on not in splits:
        raise DataError(
            f"there is no {source.evaluate_on} split: found {', '.join(sorted(splits))}",
            hint="set data.evaluate_on to the split that accuracy is to be measured on",
        )
    judged = splits[source.evaluate_on]
    splits[source.evaluate_on] = _first_of_copies(judged, inventory.digests)
    return dict(splits)


def _first_of_copies(samples: list[Sample], digests: dict[str, str]) -> list[Sample]:
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(digests[sample.name], sample)
    return list(first.values())


def count_doubled(inventory: Inventory, splits: dict[str, list[Sample]]) -> int:
    """Listed rows that `divide` left out as copies."""
    return len(inventory.listing.samples) - sum(map(len, splits.values()))


def doubled_remark(doubled: int, images: int, split: str) -> str:
    """
    >>> doubled_remark(72, 24, "validation")
    '72 of 96 rows of the validation split list an image again; each image counts once'
    """
    if not doubled:
        return ""
    return (
        f"{doubled} of {images + doubled} rows of the {split} split list an image again; each "
        "image counts once"
    )


def pick_calibration(
    splits: dict[str, list[Sample]], digests: dict[str, str], choice: CalibrationChoice, judge: str
) -> list[Sample]:
    """A stratified choice of calibration images, from the training side only (pure).

    Args:
        judge: the split that accuracy is measured on, whose classes calibration should see.

    Raises:
        DataError: there are too few images, or a class is missing.
    """
    pool = splits.get("calibration") or splits.get("train") or []
    if not pool:
        raise DataError(
            f"there are no images to calibrate on: found {', '.join(sorted(splits))}",
            hint="add training images, or a calibration split",
        )
    classes: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(pool, key=lambda s: _rank("calibration", digests[s.name])):
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
        return {**fields, "fingerprint": self.inventory.fingerprint}

    def run(self, inputs: Inputs, into: Path, context: Context) -> SplitsMetadata:
        splits = divide(self.inventory, self.source)
        counts = {name: Counter(s.label for s in split) for name, split in splits.items()}
        rows = {
            name: [[s.name, s.label, self.inventory.digests[s.name]] for s in split]
            for name, split in splits.items()
        }
        (into / "splits.json").write_text(json.dumps(rows, indent=0))
        return SplitsMetadata(
            classes=self.inventory.listing.classes,
            fingerprint=self.inventory.fingerprint,
            counts={name: dict(count) for name, count in counts.items()},
            doubled=count_doubled(self.inventory, splits),
        )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name what the operating system refuses to read; that it is absent is another matter.

    Raises:
        DataError: with the file and the system's reason.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read: {error.strerror}",
            hint="allow it to be read, or remove it from the data",
        ) from error


def shown(samples: list[Sample]) -> str:
    names = ", ".join(str(s.path) for s in samples[:MAX_SHOWN])
    return names + (f" and {len(samples) - MAX_SHOWN} more" if len(samples) > MAX_SHOWN else "")


def _rank(seed: object, digest: str) -> str:
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()


def _kept_for_validation(inventory: Inventory, source: Source) -> set[str]:
    by_class: dict[str, set[str]] = defaultdict(set)
    for sample in inventory.listing.samples:
        by_class[sample.label].add(inventory.digests[sample.name])
    kept: set[str] = set()
    for label in inventory.listing.classes:
        digests = sorted(by_class[label], key=lambda d: _rank(source.seed, d))
        if len(digests) < 2:
            raise DataError(
                f"images of class {label!r} that differ: {len(digests)}; at least 2 are needed, "
                "one to train on and one to validate",
            )
        count = min(max(1, round(source.validation_share * len(digests))), len(digests) - 1)
        kept.update(digests[:count])
    return kept


def _refuse_contradictions(listing: Listing) -> None:
    paths: dict[str, Path] = {}
    for sample in listing.samples:
        if sample.label not in listing.classes:
            raise DataError(f"{sample.path} bears the label {sample.label!r}, which is no class")
        if paths.setdefault(sample.name, sample.path) != sample.path:
            raise DataError(
                f"two images have the name {sample.name}: {paths[sample.name]} and {sample.path}"
            )


def _refuse_two_labels(inventory: Inventory) -> None:
    labels: dict[str, Sample] = {}
    for sample in inventory.listing.samples:
        first = labels.setdefault(inventory.digests[sample.name], sample)
        if first.label != sample.label:
            raise DataError(
                f"one image bears two labels: {first.path} is {first.label!r}, "
                f"{sample.path} is {sample.label!r}",
                hint="remove one of the two",
            )


def _refuse_overlap(splits: dict[str, list[Sample]], inventory: Inventory) -> None:
    seen: dict[str, tuple[str, Sample]] = {}
    for name, samples in splits.items():
        for sample in samples:
            other, first = seen.setdefault(inventory.digests[sample.name], (name, sample))
            if other != name:
                raise DataError(
                    f"the same image is in two splits: {first.path} ({other}) and "
                    f"{sample.path} ({name})",
                    hint="an image that was trained on proves nothing; remove one of the two",
                )
