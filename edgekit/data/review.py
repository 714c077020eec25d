"""All that is odd about a data set, in one place and before anything runs.

Found from the listing, the digests, the headers and the ends of all images. What is damaged in
between is seen when it is decoded, by the build.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgekit.data.framing import Orientation
from edgekit.data.headers import Header, read_headers
from edgekit.data.images import unreadable_error
from edgekit.data.inventory import Inventory
from edgekit.data.problem import DataProblem, ProblemKind, counted
from edgekit.data.sources.base import Sample, Source
from edgekit.data.splits import contradictions, count_doubled, doubled_remark
from edgekit.errors import DataError

OBLONG = 0.4
"""Left out of a picture by its crop, from which on it is told: 5:3 made square, for one."""
FEW = 10
"""Images of a class in the judged split, under which one image is more than 10 points of recall."""
UNEVEN = 10
"""Times the smallest class that the largest one may have."""

TURNING: dict[Orientation, tuple[str, str]] = {
    "upright": (
        "turned upright, as their EXIF orientation says",
        "Keras' image_dataset_from_directory, torchvision's ImageFolder and timm's train.py do not "
        "turn them: if the model learned from photos as they are stored, write orientation: "
        "as_stored in the recipe's data section",
    ),
    "as_stored": (
        "taken as they are stored, not turned as their EXIF orientation says",
        "If the model learned from upright photos, write orientation: upright in the recipe's data "
        "section",
    ),
}

Splits = dict[str, list[Sample]]


@dataclass(frozen=True)
class Review:
    """What was found, for plan, terminal and report alike."""

    others: tuple[DataProblem, ...]
    unreadable: tuple[str, ...]
    """Names of images that cannot be read, each with the reason."""

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        return self.with_unreadable(self.unreadable)

    def with_unreadable(self, rows: Collection[str]) -> tuple[DataProblem, ...]:
        """All problems, where the build has found more images unreadable (or the same)."""
        return (*_unreadable(sorted({*self.unreadable, *rows})), *self.others)


def refuse_contradictions(inventory: Inventory, source: Source) -> None:
    """
    Raises:
        DataError: no build can go on with the data set; all of its faults at once.
    """
    if refused := contradictions(inventory):
        _refuse([*refused, *_of_unreadable(inventory, source, inventory.listing.samples)])


def refuse_faults(inventory: Inventory, source: Source, used: Sequence[Sample]) -> None:
    """
    Args:
        used: images that none may be unreadable of, where the recipe does not skip them.

    Raises:
        DataError: no build can go on with the data set; all of its faults at once.
    """
    if refused := [*contradictions(inventory), *_of_unreadable(inventory, source, used)]:
        _refuse(refused)


def _of_unreadable(
    inventory: Inventory, source: Source, used: Sequence[Sample]
) -> Iterator[DataError]:
    headers = read_headers(inventory)
    faults = [(s, fault) for s in used if (fault := headers[s.name].fault)]
    if faults and source.unreadable == "stop":
        yield unreadable_error(faults, f"{len(used)} images")


def _refuse(refused: list[DataError]) -> None:
    if len(refused) == 1:
        raise refused[0]
    raise DataError(
        f"{len(refused)} faults of the data:\n" + _numbered(error.message for error in refused),
        hint=_numbered(str(error.hint) for error in refused),
    )


def _numbered(lines: Iterable[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))


def review(
    inventory: Inventory,
    splits: Splits,
    source: Source,
    decoded: Collection[str],
    trained_elsewhere: bool = False,
) -> Review:
    """Look at a data set.

    Args:
        decoded: names of the images that a build decodes.
        trained_elsewhere: edgekit has not trained the model, and does not.

    Raises:
        DataError: images that it decodes cannot be read, and the recipe does not skip them.
    """
    headers = read_headers(inventory)
    faults = {name: header.fault for name, header in headers.items() if header.fault}
    needed = [sample for sample in inventory.listing.samples if sample.name in decoded]
    for error in _of_unreadable(inventory, source, needed):
        raise error
    sound = {name: header for name, header in headers.items() if not header.fault}
    return Review(
        (
            *inventory.listing.problems,
            *_classes(inventory, splits, source),
            *_doubled(inventory, splits, source),
            *_oblong(sound, source),
            *_pictures(sound),
            *(_turned(sound, source.orientation) if trained_elsewhere else ()),
        ),
        tuple(f"{name}: {why}" for name, why in faults.items()),
    )


def _unreadable(rows: list[str]) -> Iterator[DataProblem]:
    if rows:
        yield DataProblem(
            kind=ProblemKind.UNREADABLE,
            count=len(rows),
            words=f"{counted(len(rows), 'image')} cannot be read",
            example=rows[0],
        )


def _classes(inventory: Inventory, splits: Splits, source: Source) -> Iterator[DataProblem]:
    classes, judge = inventory.listing.classes, source.evaluate_on
    yield from _alike(classes)
    for split in sorted({judge, "train"} & set(splits)):
        counts = Counter(sample.label for sample in splits[split])
        yield from _absent(classes, counts, split)
        yield from _uneven(counts, split)
    yield from _few(classes, Counter(sample.label for sample in splits[judge]), judge)


def _alike(classes: Collection[str]) -> Iterator[DataProblem]:
    folded = defaultdict(list)
    for name in classes:
        folded[name.casefold()].append(name)
    alike = [name for names in folded.values() if len(names) > 1 for name in names]
    if alike:
        words = "classes differ in small and capital letters alone"
        yield _named(ProblemKind.CASE, alike, words)


def _absent(classes: Collection[str], counts: Counter[str], split: str) -> Iterator[DataProblem]:
    absent = [name for name in classes if name not in counts]
    if absent:
        words = f"of {len(classes)} classes without an image in the {split} split"
        yield _named(ProblemKind.ABSENT, absent, words)


def _uneven(counts: Counter[str], split: str) -> Iterator[DataProblem]:
    ordered = counts.most_common()
    (largest, most), (smallest, least) = ordered[0], ordered[-1]
    if most >= UNEVEN * least:
        words = f"the {split} split is uneven: {most} images of {largest}, {least} of {smallest}"
        yield DataProblem(kind=ProblemKind.UNEVEN, count=most, words=words)


def _few(classes: Collection[str], counts: Counter[str], judge: str) -> Iterator[DataProblem]:
    few = [name for name in classes if 0 < counts[name] < FEW]
    if few:
        words = f"with fewer than {FEW} images in the {judge} split, whose recall says little"
        yield _named(ProblemKind.FEW, few, f"of {len(classes)} classes {words}")


def _named(kind: ProblemKind, names: list[str], words: str) -> DataProblem:
    return DataProblem(
        kind=kind, count=len(names), words=f"{len(names)} {words}", example=", ".join(names[:3])
    )


def _doubled(inventory: Inventory, splits: Splits, source: Source) -> Iterator[DataProblem]:
    doubled, judge = count_doubled(inventory, splits), source.evaluate_on
    if doubled:
        names = defaultdict(list)
        for sample in inventory.listing.samples:
            names[inventory.digests[sample.name]].append(sample.name)
        again = [
            several for s in splits[judge] if len(several := names[inventory.digests[s.name]]) > 1
        ]
        rows = any(len({*several}) < len(several) for several in again)
        words = doubled_remark(doubled, len(splits[judge]), judge, rows)
        example = again[0][0] if rows else " and ".join(again[0][:2])
        yield DataProblem(kind=ProblemKind.DOUBLED, count=doubled, words=words, example=example)
    yield from _copies(inventory, splits, judge)


def _copies(inventory: Inventory, splits: Splits, judge: str) -> Iterator[DataProblem]:
    first: dict[str, str] = {}
    copies = [
        (one, sample.name)
        for name, samples in splits.items()
        if name != judge
        for sample in samples
        if (one := first.setdefault(inventory.digests[sample.name], sample.name)) != sample.name
    ]
    if copies:
        yield DataProblem(
            kind=ProblemKind.COPIES,
            count=len(copies),
            words=f"{counted(len(copies), 'training image')} the same as another one, kept: each "
            "weighs as often as it stands there",
            example=" and ".join(copies[0]),
        )


def _oblong(headers: dict[str, Header], source: Source) -> Iterator[DataProblem]:
    framing = source.framing
    shares = {name: framing.left_out(*header[:2]) for name, header in headers.items()}
    oblong = {name: share for name, share in shares.items() if share >= OBLONG}
    if oblong:
        cut = 100 * max(oblong.values())
        size = framing.size
        shape = "oblong" if size.is_square else f"of another shape than {size} pixels"
        words = f"{shape}: the centre crop leaves out up to {cut:.0f} % of a picture"
        found = _counted_images(ProblemKind.OBLONG, oblong, len(headers), words)
        # Who says crop wants it, most of all for a model that was trained so.
        is_asked = "fit" in source.model_fields_set
        advice = "" if is_asked else "data.fit: squash or pad keeps all of it"
        yield found.model_copy(update={"advice": advice})


def _pictures(headers: dict[str, Header]) -> Iterator[DataProblem]:
    """What decoding changes about pictures."""
    for kind, words, found in (
        (ProblemKind.ANIMATED, "with several frames or pages, of which the first is taken",
         {n for n, h in headers.items() if h.animated}),
        (ProblemKind.TRANSPARENT, "with transparency, which is dropped: its hidden colours show",
         {n for n, h in headers.items() if h.transparent}),
        (ProblemKind.CMYK, "in CMYK, made RGB without their colour profile",
         {n for n, h in headers.items() if h.mode == "CMYK"}),
        (ProblemKind.EXIF, "with an EXIF block that cannot be read: taken as they lie",
         {n for n, h in headers.items() if h.exif_fault}),
    ):  # fmt: skip
        if found:
            yield _counted_images(kind, found, len(headers), words)


def _turned(headers: dict[str, Header], how: Orientation) -> Iterator[DataProblem]:
    """What edgekit makes upright, and the training may not have; or the other way round."""
    if turned := {name for name, header in headers.items() if header.turned}:
        words, advice = TURNING[how]
        found = _counted_images(ProblemKind.TURNED, turned, len(headers), words)
        yield found.model_copy(update={"advice": advice})


def _counted_images(
    kind: ProblemKind, names: Collection[str], total: int, words: str
) -> DataProblem:
    text = f"{len(names):,} of {counted(total, 'image')} {words}"
    return DataProblem(kind=kind, count=len(names), words=text, example=min(names))
