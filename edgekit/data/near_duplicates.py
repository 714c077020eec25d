"""Judged pictures that the training split holds too, in another size or encoding.

Candidates have nearly the same difference hash (dHash: is a cell brighter than its neighbour?), and
their thumbnails must agree as well, since even pictures of one kind may share a hash.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 16
"""Pixels of a thumbnail."""
MOST_BITS = 3
"""Of 64 that may differ: then at least one of four bands of 16 bits is the same."""
MOST_APART = 0.08
"""Root mean square difference of two thumbnails, in standard deviations of one. JPEG of quality 50
and half the size make 0.03 to 0.07; of 875 of ELPV's solar cells no two others are nearer than 0.1.
"""
MARGIN = 2
"""Of 255, by which a cell must be brighter: noise on an even ground is no pattern."""


@dataclass(frozen=True)
class Fingerprints:
    """Of pictures, in their order."""

    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.float32]


def fingerprints(images: Iterable[NDArray[np.uint8]]) -> Fingerprints:
    """Of uint8 RGB pictures (height, width, 3) of any one size."""
    from PIL import Image

    bits, thumbnails = [], []
    for pixels in images:
        grey = Image.fromarray(np.asarray(pixels)).convert("L")
        cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), np.int16)
        bits.append((cells[:, 1:] > cells[:, :-1] + MARGIN).ravel())
        thumbnails.append(np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX)).ravel())
    hashes = np.packbits(np.array(bits, bool).reshape(-1, 64), axis=1).view(np.uint64).ravel()
    return Fingerprints(hashes, np.array(thumbnails, np.float32).reshape(-1, SIDE * SIDE))


def near_duplicates(judged: Fingerprints, learned: Fingerprints) -> dict[int, int]:
    """The training picture that is nearly the same, by the judged picture, for those that have one
    (pure)."""
    bands: dict[Any, list[int]] = defaultdict(list)
    for i, hash in enumerate(learned.hashes):
        for band in _bands(hash):
            bands[band].append(i)
    found = {}
    for i, hash in enumerate(judged.hashes):
        near = np.array(sorted({j for band in _bands(hash) for j in bands.get(band, ())}), int)
        near = near[np.bitwise_count(learned.hashes[near] ^ hash) <= MOST_BITS]
        if len(near):
            apart = learned.thumbnails[near] - judged.thumbnails[i]
            rms = np.sqrt(np.mean(apart**2, axis=1))
            if rms.min() <= MOST_APART * judged.thumbnails[i].std():
                found[i] = int(near[rms.argmin()])
    return found


def _bands(hash: np.uint64) -> Iterable[tuple[int, int]]:
    return enumerate(int(part) for part in np.array([hash]).view(np.uint16))
