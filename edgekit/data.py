"""From listed images to arrays: digests, splits that never overlap, and decoding, once.

Splits follow from the images' content alone: each class is ordered by a hash of (seed, content
digest) and the first ones are kept for validation. So they do not depend on file names or order,
an image added later moves at most one other, the one of its class at the boundary, and two copies
of one image always land in the same split.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.action import Action, Context, Inputs
from edgekit.artifact import Json, digest_of, sha256_of, write_atomically
from edgekit.datasets.base import Listing, Sample, Source
from edgekit.errors import DataError, IntegrityError, storage_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAIN_MARGIN = 1.15
"""Training images are stored this much larger, so that random crops have room."""
LONGEST = 20
"""Sides further apart than this are no picture; and all of it is resized before it is cropped."""
SHOWN = 5  # file names in a message before "and N more"


@dataclass(frozen=True)
class Inventory:
    """A listing with the sha256 of every image file."""

    listing: Listing
    digests: dict[str, str]

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


def take_inventory(source: Source, base: Path, cache: Path) -> Inventory:
    """List a source and hash its files; unchanged files (path, size, mtime) are not read again.

    Raises:
        DataError: a file is missing or cannot be read, a label or a name contradicts the listing.
    """
    with _reading(base):
        listing = source.listing(base)
        missing = [s for s in listing.samples if not s.path.is_file()]
    memory = cache / f"{digest_of([str(base.resolve()), source.model_dump(mode='json')])[:16]}.json"
    try:
        known: dict[str, list[Any]] = json.loads(memory.read_text())
    except (OSError, ValueError):
        known = {}
    _refuse_strangers(listing)
    if missing:
        raise DataError(f"{len(missing)} listed images do not exist: {shown(missing)}")

    def digest(sample: Sample) -> list[Any]:
        with _reading(sample.path):
            stat = sample.path.stat()
            entry = known.get(str(sample.path))
            if entry and entry[:2] == [stat.st_size, stat.st_mtime_ns]:
                return entry
            return [stat.st_size, stat.st_mtime_ns, sha256_of(sample.path)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        entries = list(pool.map(digest, listing.samples))
    fresh = {str(s.path): entry for s, entry in zip(listing.samples, entries, strict=True)}
    if fresh != known:
        with storage_errors(cache):
            write_atomically(memory, json.dumps(fresh))
    digests = {s.name: entry[2] for s, entry in zip(listing.samples, entries, strict=True)}
    return Inventory(listing, digests)


def divide(inventory: Inventory, source: Source) -> dict[str, list[Sample]]:
    """Divide the samples into splits (pure).

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
    return dict(splits)


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
    wanted = {s.label for s in splits[judge]}
    classes: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(pool, key=lambda s: _rank("calibration", digests[s.name])):
        classes[sample.label].append(sample)
    if not pool:
        raise DataError(
            f"there are no images to calibrate on: found {', '.join(sorted(splits))}",
            hint="add training images, or a calibration split",
        )
    absent = sorted(wanted - set(classes))
    if absent and choice.every_class:
        raise DataError(
            f"calibration has no image of {len(absent)} classes: {', '.join(absent[:SHOWN])}",
            hint="add training images of these classes, or set the stage's every_class: false; a "
            "class that calibration never saw may be clipped",
        )
    if choice.samples < len(classes) and choice.every_class:
        raise DataError(
            f"{choice.samples} calibration images cannot hold {len(classes)} classes",
            hint=f"set the stage's samples to {len(classes)} or more",
        )
    # Round-robin by share: repeatedly take from the class that lags furthest behind its share.
    chosen: list[Sample] = []
    taken: Counter[str] = Counter()
    for _ in range(min(choice.samples, len(pool))):
        label = min(
            (name for name in classes if taken[name] < len(classes[name])),
            key=lambda name: (taken[name] > 0, taken[name] / len(classes[name]), name),
        )
        chosen.append(classes[label][taken[label]])
        taken[label] += 1
    return chosen


class SplitData(Action):
    """Write splits.json: which image is in which split."""

    def __init__(self, source: Source, inventory: Inventory) -> None:
        self.source = source
        self.inventory = inventory

    def settings(self) -> Json:
        chosen = {"source", "validation_share", "seed", "evaluate_on"}
        fields = self.source.model_dump(mode="json", include=chosen)
        return {**fields, "fingerprint": self.inventory.fingerprint}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        splits = divide(self.inventory, self.source)
        counts = {name: Counter(s.label for s in split) for name, split in splits.items()}
        rows = {
            name: [[s.name, s.label, self.inventory.digests[s.name]] for s in split]
            for name, split in splits.items()
        }
        (into / "splits.json").write_text(json.dumps(rows, indent=0))
        return {
            "classes": list(self.inventory.listing.classes),
            "fingerprint": self.inventory.fingerprint,
            "counts": {name: dict(count) for name, count in counts.items()},
        }


class DecodeImages(Action):
    """Decode one split into images.npy (uint8, images x height x width x 3) and labels.npy."""

    libraries = ("pillow",)

    def __init__(
        self,
        source: Source,
        inventory: Inventory,
        split: str,
        calibration: CalibrationChoice | None = None,
    ) -> None:
        self.source = source
        self.inventory = inventory
        self.split = split
        self.calibration = calibration

    def settings(self) -> Json:
        return {
            "split": self.split,
            "image_size": self.source.image_size,
            "crop_pct": self.source.crop_pct,
            "unreadable": self.source.unreadable,
            "calibration": asdict(self.calibration) if self.calibration else None,
        }

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        import numpy as np

        samples = self._samples()
        size = self.source.image_size
        if self.split == "train":
            size = round(size * TRAIN_MARGIN)
        shape = (len(samples), size, size, 3)
        images = np.lib.format.open_memmap(into / "all.npy", "w+", np.uint8, shape)
        # Claim the space now: a write to a mapped page of a full disk is a SIGBUS, not an error.
        with (into / "all.npy").open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, (into / "all.npy").stat().st_size)
        faults: list[tuple[Sample, str]] = []
        for i, (sample, decoded) in enumerate(self._decode(samples, size)):
            if isinstance(decoded, str):
                faults.append((sample, decoded))
            else:
                images[i - len(faults)] = decoded
            context.progress(i + 1, len(samples), f"decode {self.split} images")
        self._judge(faults, len(samples))
        self._refuse_lost_classes(samples, faults)
        images.flush()
        readable = len(samples) - len(faults)
        if faults:
            np.save(into / "images.npy", images[:readable])
            (into / "all.npy").unlink()
        else:
            (into / "all.npy").rename(into / "images.npy")
        bad = {sample.name for sample, _ in faults}
        index = {name: i for i, name in enumerate(self.inventory.listing.classes)}
        labels = [index[s.label] for s in samples if s.name not in bad]
        np.save(into / "labels.npy", np.asarray(labels, np.int64))
        return {
            "split": self.split,
            "images": readable,
            "unreadable": [f"{sample.name}: {why}" for sample, why in faults],
        }

    def _samples(self) -> list[Sample]:
        splits = divide(self.inventory, self.source)
        if self.calibration is not None:
            return pick_calibration(
                splits, self.inventory.digests, self.calibration, self.source.evaluate_on
            )
        if self.split not in splits:
            raise DataError(
                f"there is no {self.split} split: found {', '.join(sorted(splits))}",
                hint="a recipe that trains needs training images",
            )
        return splits[self.split]

    def _decode(
        self, samples: list[Sample], size: int
    ) -> Iterator[tuple[Sample, NDArray[np.uint8] | str]]:
        def one(sample: Sample) -> NDArray[np.uint8] | str:
            try:
                with _reading(sample.path):
                    content = sample.path.read_bytes()
            except FileNotFoundError:
                raise IntegrityError(f"{sample.path} vanished while the build ran") from None
            if hashlib.sha256(content).hexdigest() != self.inventory.digests[sample.name]:
                raise IntegrityError(f"{sample.path} changed while the build was running")
            return decode(content, size, self.source.crop_pct)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from zip(samples, pool.map(one, samples), strict=True)

    def _judge(self, faults: list[tuple[Sample, str]], total: int) -> None:
        if faults and (self.source.unreadable == "stop" or len(faults) == total):
            rows = "\n".join(f"  {s.path}: {why}" for s, why in faults[:20])
            more = f"\n  and {len(faults) - 20} more" if len(faults) > 20 else ""
            raise DataError(
                f"{len(faults)} of {total} {self.split} images cannot be read:\n{rows}{more}",
                hint="repair or remove them, or set data.unreadable: skip; "
                "the report then counts and names them",
            )

    def _refuse_lost_classes(self, chosen: list[Sample], faults: list[tuple[Sample, str]]) -> None:
        if self.calibration is None or not self.calibration.every_class:
            return
        images = Counter(s.label for s in chosen)
        images.subtract(sample.label for sample, _ in faults)
        lost = sorted(label for label, left in images.items() if not left)
        if lost:
            raise DataError(
                f"calibration has no readable image left of {len(lost)} classes: "
                f"{', '.join(lost[:SHOWN])}",
                hint="repair or remove the unreadable images, raise the stage's samples, or set "
                "its every_class: false",
            )


def decode(content: bytes, size: int, crop_pct: float) -> NDArray[np.uint8] | str:
    """Decode, turn upright, resize the shorter side to size / crop_pct, crop the centre.

    Returns:
        uint8 RGB of shape (size, size, 3), or in words why the image cannot be read.
    """
    import io

    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content)) as opened:
            if opened.mode.startswith(("I", "F")):  # convert() would clip it to white
                return f"it has more than 8 bits a channel (mode {opened.mode})"
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error).replace("<_io.BytesIO object", "<image") or type(error).__name__
    width, height = image.size
    if max(width, height) > LONGEST * min(width, height):
        return f"its sides are {width}x{height}, further apart than 1:{LONGEST}"
    scale = round(size / crop_pct) / min(width, height)
    resized = (max(size, round(width * scale)), max(size, round(height * scale)))
    image = image.resize(resized, Image.Resampling.BICUBIC)
    left, top = (resized[0] - size) // 2, (resized[1] - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)), np.uint8)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name what the operating system refuses to read; that it is absent is another matter."""
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
    names = ", ".join(str(s.path) for s in samples[:SHOWN])
    return names + (f" and {len(samples) - SHOWN} more" if len(samples) > SHOWN else "")


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
                f"class {label!r} has {len(digests)} different images; at least 2 are needed, "
                "one to train on and one to validate",
            )
        count = min(max(1, round(source.validation_share * len(digests))), len(digests) - 1)
        kept.update(digests[:count])
    return kept


def _refuse_strangers(listing: Listing) -> None:
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
