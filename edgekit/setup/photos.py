"""What a data set is, as far as a recipe has to know it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from edgekit.data.framing import Fit, Framing
from edgekit.data.headers import Header, leave_out_unreadable, read_headers
from edgekit.data.images import decode, spread
from edgekit.data.inventory import Inventory, take_inventory
from edgekit.data.near_duplicates import fingerprints, near_duplicates
from edgekit.data.problem import DataProblem, ProblemKind, in_train_too
from edgekit.data.review import OBLONG, refuse_faults
from edgekit.data.size import Size
from edgekit.data.sources.base import Listing, Sample
from edgekit.data.sources.imagefolder import ImageFolder
from edgekit.data.splits import divide

LOOKED_AT = 1000
"""Photos whose size and colours are looked at, spread over all."""
MANY_OBLONG = 0.1
"""Share of the photos from which on the way that they are fitted to the model matters."""
MOST_COMPARED = 2000
"""Photos that are decoded to find near-duplicates: a build compares them all."""
ADVICE = {
    True: "What a model was trained on proves little",
    False: "What a model was trained on proves little: keep one of each, or say in folders train/ "
    "and val/ which judge",
}
"""Of near-duplicates, in splits that are the data's own and in edgekit's."""
NEAR = Framing(Size.square(64))


@dataclass(frozen=True)
class Shapes:
    """Of the photos, from their headers."""

    side: int
    """Pixels of the shorter one, in the median."""
    oblong: float
    """Share of which a square crop leaves out much."""
    grey: bool
    """All of them are."""

    @classmethod
    def of(cls, headers: list[Header]) -> Shapes:
        sound = [header for header in headers if not header.fault]
        if not sound:  # `edgekit plan` says why
            return cls(224, 0.0, False)
        square = Framing(Size.square(224))
        oblong = sum(square.left_out(h.width, h.height) >= OBLONG for h in sound)
        grey = all(h.mode in ("1", "L", "LA") for h in sound)
        side = int(median(min(h.width, h.height) for h in sound))
        return cls(side, oblong / len(sound), grey)

    @property
    def are_oblong(self) -> bool:
        return self.oblong >= MANY_OBLONG


@dataclass(frozen=True)
class PhotoSet:
    """A data set that was divided."""

    source: ImageFolder
    classes: tuple[str, ...]
    splits: dict[str, int]
    """Photos in each."""
    own_splits: bool
    commonest: float
    """Share of the judged photos whose class is the commonest."""
    turned: bool
    """An EXIF orientation turns some of them."""
    problems: tuple[DataProblem, ...]
    """What `edgekit plan` does not look for: near-duplicates."""

    @property
    def judged(self) -> int:
        return self.splits[self.source.evaluate_on]

    @property
    def learned(self) -> int:
        return self.splits.get("train", 0)


def list_photos(path: Path, skip_unreadable: bool) -> tuple[ImageFolder, Listing, Shapes]:
    """
    Raises:
        DataError: there are none, or they belong to no classes.
    """
    unreadable = "skip" if skip_unreadable else "stop"
    fields = {"source": "imagefolder", "path": path, "image_size": 224, "unreadable": unreadable}
    source = ImageFolder.model_validate(fields)
    listing = source.listing()
    named = {sample.split for sample in listing.samples}
    if "test" in named and "validation" not in named:
        source = source.model_copy(update={"evaluate_on": "test"})
    chosen = [listing.samples[i] for i in spread(len(listing.samples), LOOKED_AT)]
    there = [sample for sample in chosen if sample.path.is_file()]
    names = {sample.name: sample.name for sample in there}
    headers = read_headers(Inventory(replace(listing, samples=tuple(there)), names))
    return source, listing, Shapes.of([*headers.values()])


def sound_photos(source: ImageFolder, cache: Path) -> Inventory:
    """
    Args:
        cache: the folder that keeps the digests of unchanged files.

    Raises:
        DataError: no build can go on with them, in the words of `edgekit plan`.
    """
    inventory = take_inventory(source, cache)
    named = (None, "train", "calibration", source.evaluate_on)
    used = [sample for sample in inventory.listing.samples if sample.split in named]
    refuse_faults(inventory, source, used)
    return leave_out_unreadable(inventory, source)


def divide_photos(source: ImageFolder, inventory: Inventory, size: Size, fit: Fit) -> PhotoSet:
    """
    Raises:
        DataError: they are too few, in the words of `edgekit plan`.
    """
    source = source.model_copy(update={"image_size": size, "fit": fit})
    splits = divide(inventory, source)
    judged = splits[source.evaluate_on]
    own = any(sample.split for sample in inventory.listing.samples)
    return PhotoSet(
        source=source,
        classes=inventory.listing.classes,
        splits={name: len(samples) for name, samples in splits.items()},
        own_splits=own,
        turned=any(header.turned for header in read_headers(inventory).values()),
        commonest=max(Counter(s.label for s in judged).values()) / len(judged),
        problems=tuple(_near(splits.get("train", []), judged, own)),
    )


def _near(learned: list[Sample], judged: list[Sample], own: bool) -> Iterator[DataProblem]:
    if not learned or len(learned) + len(judged) > MOST_COMPARED:
        return
    decoded = [[(s, decode(s.path.read_bytes(), NEAR)) for s in part] for part in (judged, learned)]
    sound = [[(s, image) for s, image in part if not isinstance(image, str)] for part in decoded]
    if not all(sound):
        return
    prints = [fingerprints(image for _, image in part) for part in sound]
    found = near_duplicates(prints[0], prints[1]).found
    if found:
        first = min(found)
        yield DataProblem(
            kind=ProblemKind.NEAR,
            count=len(found),
            words=in_train_too(len(found), "judged image"),
            example=f"{sound[0][first][0].name} and {sound[1][found[first]][0].name}",
            advice=ADVICE[own],
        )
