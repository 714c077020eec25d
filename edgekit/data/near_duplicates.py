"""Judged pictures that the training split holds too, in another size or encoding.

Candidates have nearly the same difference hash (dHash: is a cell brighter than its neighbour?), and
their thumbnails must agree as well, since even pictures of one kind may share a hash.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 16
"""Pixels of a thumbnail."""
MOST_BITS = 3
"""Of 64 that may differ."""
MOST_APART = 0.08
"""Root mean square difference of two thumbnails, in standard deviations of one. JPEG of quality 50
and half the size make 0.03 to 0.07; of 875 of ELPV's solar cells no two others are nearer than 0.1.
"""
MOST_ALIKE = 1000
"""Training pictures that a judged one is compared with: on plain grounds all may be alike."""
ROUNDING = 1e-3
"""Of means, in grey levels."""
MARGIN = 2
"""Of 255, by which a cell must be brighter: noise on an even ground is no pattern."""


@dataclass(frozen=True)
class Fingerprints:
    """Of pictures, in their order."""

    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.float32]


@dataclass(frozen=True)
class Twins:
    found: dict[int, int]
    """The training picture that is nearly the same, by the judged picture."""
    unsure: int
    """Judged pictures that were not compared with all that might be the same, and none was."""


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


def near_duplicates(judged: Fingerprints, learned: Fingerprints, most: int = MOST_ALIKE) -> Twins:
    """Judged pictures of which the training split holds nearly the same (pure)."""
    means, spreads = learned.thumbnails.mean(axis=1), learned.thumbnails.std(axis=1)
    found: dict[int, int] = {}
    unsure = 0
    for i, hash in enumerate(judged.hashes):
        (near,) = np.nonzero(np.bitwise_count(learned.hashes ^ hash) <= MOST_BITS)
        thumbnail = judged.thumbnails[i]
        allowed = MOST_APART * thumbnail.std()
        # No two thumbnails are nearer than their means and deviations are.
        least = np.hypot(means[near] - thumbnail.mean(), spreads[near] - thumbnail.std())
        within = least <= allowed + ROUNDING
        near = near[within][np.argsort(least[within], kind="stable")]
        apart = learned.thumbnails[near[:most]] - thumbnail
        rms = np.sqrt(np.mean(apart**2, axis=1))
        if len(near) and rms.min() <= allowed:
            found[i] = int(near[rms.argmin()])
        elif len(near) > most:
            unsure += 1
    return Twins(found, unsure)
