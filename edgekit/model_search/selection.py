"""The training side, divided again: images to learn from, and images that choose. Those that judge
in the end are not among them, so that no candidate is chosen by them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from pydantic import PrivateAttr

from edgekit.data.headers import leave_out_unreadable
from edgekit.data.inventory import Inventory, rank
from edgekit.data.sources.base import Listing, Sample, Source
from edgekit.data.splits import divide
from edgekit.errors import DataError

DIVIDES = ("validation_share", "evaluate_on", "seed")
"""What a listing whose images have their splits needs no more."""
SMALLEST = 8
"""Images that are held back at the least: fewer tell nothing apart."""


class SelectionSource(Source):
    """Images of another source's training side, each with its split."""

    source: Literal["selection"] = "selection"
    _listing: Listing = PrivateAttr()

    def listing(self) -> Listing:
        return self._listing

    @classmethod
    def of(cls, source: Source, listing: Listing) -> SelectionSource:
        kept = {name: getattr(source, name) for name in Source.model_fields if name not in DIVIDES}
        made = cls.model_construct(**kept)
        made._listing = listing
        return made


def divided_again(
    source: Source,
    inventory: Inventory,
    share: float,
    seed: int,
    most: int | None = None,
) -> SelectionSource:
    """
    Args:
        share: of the training images that are held back; the same ones for every image size.
        most: training images that are learned from; all unless given.

    Raises:
        DataError: too few training images.
    """
    inventory = leave_out_unreadable(inventory, source)
    splits = divide(inventory, source)
    by_class = _by_class(splits.get("train", []))
    digest = inventory.digests
    chosen, learned = set[str](), set[str]()
    for samples in by_class.values():
        # By content: two copies of an image are on one side.
        order = sorted({digest[s.name] for s in samples}, key=lambda d: rank(f"search-{seed}", d))
        count = min(max(1, round(share * len(order))), len(order) - 1)
        chosen |= {*order[:count]}
        learned |= {*_few(order[count:], most, len(by_class))}
    everything = [sample for samples in by_class.values() for sample in samples]
    held_back = [replace(s, split="validation") for s in everything if digest[s.name] in chosen]
    if len(held_back) < SMALLEST or len(by_class) < 2:
        raise DataError(
            f"{len(held_back)} training images can be held back to choose by, and {SMALLEST} are "
            "the fewest",
            hint="add images, or raise held_back in the recipe's section search",
        )
    learning = [replace(s, split="train") for s in everything if digest[s.name] in learned]
    others = [replace(s, split="calibration") for s in splits.get("calibration", [])]
    rows = (*held_back, *learning, *others)
    return SelectionSource.of(source, replace(inventory.listing, samples=rows, problems=()))


def _by_class(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.label].append(sample)
    return dict(found)


def _few(digests: list[str], most: int | None, classes: int) -> list[str]:
    """As many of a class as of every other, where not all are taken."""
    return digests if most is None else digests[: max(2, most // classes)]
