"""From files to arrays: decode a split once, for training, calibration or evaluation."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.data.calibration import CalibrationChoice, pick_calibration
from edgekit.data.formats import FORMATS, HEIF_PACKAGE, HEIF_SUFFIXES, readable_formats
from edgekit.data.framing import Framing, Way
from edgekit.data.inventory import MAX_SHOWN, Inventory, reading
from edgekit.data.metadata_blocks import metadata_fault
from edgekit.data.problem import READS_HEIF
from edgekit.data.sources.base import Sample, Source
from edgekit.data.splits import divide
from edgekit.engine.action import Action, Context, Inputs, Progress
from edgekit.engine.artifact import Json, Metadata
from edgekit.errors import DataError, IntegrityError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from PIL.Image import Transpose

TRAIN_MARGIN = 1.15
"""Training images are stored this much larger, so that random crops have room."""
MAX_NAMED = 20
"""Unreadable images in a message."""
LONGEST = 20
"""Sides further apart than this are no picture; and all of it is resized before it is cropped."""
MAX_PIXELS = 100_000_000
"""A picture of more is refused by its header: decoding it takes several bytes for each pixel."""


class ImagesMetadata(Metadata):
    """Of the decoded images of a split."""

    split: str
    images: int
    """Those that could be read."""
    unreadable: tuple[str, ...]
    """The others, each with the reason."""


class DecodeImages(Action):
    """Decode one split into images.npy (uint8, images x height x width x 3) and labels.npy."""

    version = 3
    libraries = ("pillow",)

    def __init__(
        self,
        source: Source,
        inventory: Inventory,
        split: str,
        calibration: CalibrationChoice | None = None,
        others: tuple[Way, ...] = (),
    ) -> None:
        """
        Args:
            others: framings besides the recipe's, each kept in a file by its name.
        """
        self.source = source
        self.inventory = inventory
        self.split = split
        self.calibration = calibration
        self.framing = source.framing
        self.others = others

    def used_libraries(self) -> tuple[str, ...]:
        heif = any(s.path.suffix.lower() in HEIF_SUFFIXES for s in self.inventory.listing.samples)
        return (*self.libraries, HEIF_PACKAGE) if heif else self.libraries

    def settings(self) -> Json:
        return {
            "split": self.split,
            **self.framing.settings(),
            "others": [list(way) for way in self.others],
            "unreadable": self.source.unreadable,
            "calibration": asdict(self.calibration) if self.calibration else None,
        }

    def run(self, inputs: Inputs, into: Path, context: Context) -> ImagesMetadata:
        import numpy as np

        samples = self.samples()
        framing = self.framing.enlarged(TRAIN_MARGIN) if self.split == "train" else self.framing
        ways = {way.file: self.framing.in_way(way) for way in self.others}
        framings = {"images.npy": framing, **ways}
        shape = (len(samples), *framing.size, 3)
        kept = [_room_for(into / f"all-{name}", shape) for name in framings]
        faults = self._fill(kept, samples, [*framings.values()], context.progress)
        self._judge(faults, len(samples))
        self._refuse_lost_classes(samples, faults)
        readable = len(samples) - len(faults)
        for name, images in zip(framings, kept, strict=True):
            _keep(images, readable, into / name)
        bad = {sample.name for sample, _ in faults}
        index = {name: i for i, name in enumerate(self.inventory.listing.classes)}
        labels = [index[s.label] for s in samples if s.name not in bad]
        np.save(into / "labels.npy", np.asarray(labels, np.int64))
        return ImagesMetadata(
            split=self.split,
            images=readable,
            unreadable=tuple(f"{sample.name}: {why}" for sample, why in faults),
        )

    def _fill(
        self,
        kept: Sequence[NDArray[np.uint8]],
        samples: list[Sample],
        framings: list[Framing],
        progress: Progress,
    ) -> list[tuple[Sample, str]]:
        """Decode into an array a framing, without gaps.

        Returns:
            what cannot be read, each with its reason.
        """
        faults: list[tuple[Sample, str]] = []
        for i, (sample, decoded) in enumerate(self._decode(samples, framings)):
            if isinstance(decoded, str):
                faults.append((sample, decoded))
            else:
                for images, pixels in zip(kept, decoded, strict=True):
                    images[i - len(faults)] = pixels
            progress(i + 1, len(samples), f"decode {self.split} images")
        return faults

    def samples(self) -> list[Sample]:
        """Those that it decodes."""
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
        self, samples: list[Sample], framings: list[Framing]
    ) -> Iterator[tuple[Sample, list[NDArray[np.uint8]] | str]]:
        def one(sample: Sample) -> list[NDArray[np.uint8]] | str:
            try:
                with reading(sample.path):
                    content = sample.path.read_bytes()
            except FileNotFoundError:
                raise IntegrityError(f"{sample.path} vanished while the build ran") from None
            if hashlib.sha256(content).hexdigest() != self.inventory.digests[sample.name]:
                self.inventory.forget()
                raise IntegrityError(f"{sample.path} changed while the build was running")
            return decode_ways(content, framings)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from zip(samples, pool.map(one, samples), strict=True)

    def _judge(self, faults: list[tuple[Sample, str]], total: int) -> None:
        if faults and (self.source.unreadable == "stop" or len(faults) == total):
            raise unreadable_error(faults, f"{total} {self.split} images")

    def _refuse_lost_classes(self, chosen: list[Sample], faults: list[tuple[Sample, str]]) -> None:
        if self.calibration is None or not self.calibration.every_class:
            return
        images = Counter(s.label for s in chosen)
        images.subtract(sample.label for sample, _ in faults)
        lost = sorted(label for label, left in images.items() if not left)
        if lost:
            raise DataError(
                f"calibration has no readable image left of {len(lost)} classes: "
                f"{', '.join(lost[:MAX_SHOWN])}",
                hint="repair or remove the unreadable images, raise the stage's samples, or set "
                "its every_class: false",
            )


def _room_for(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    import numpy as np

    images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    # Claim the space now: a write to a mapped page of a full disk is a SIGBUS, not an error.
    with path.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return images


def _keep(images: np.memmap[Any, np.dtype[np.uint8]], readable: int, path: Path) -> None:
    """Under its own name, and no longer than what could be read."""
    import numpy as np

    images.flush()
    whole = Path(str(images.filename))
    if readable == len(images):
        whole.rename(path)
    else:
        np.save(path, images[:readable])
        whole.unlink()


TO_SKIP = "set data.unreadable: skip; the report then counts and names them"


def unreadable_error(faults: list[tuple[Sample, str]], of: str) -> DataError:
    """All images that cannot be read, each with the reason.

    Args:
        of: how many of which images, e.g. `36 train images`.
    """
    rows = [f"\n  {sample.path}: {why}" for sample, why in faults]
    more = f"\n  and {len(rows) - MAX_NAMED} more" if len(rows) > MAX_NAMED else ""
    hint = f"repair or remove them, or {TO_SKIP}"
    if any(sample.path.suffix.lower() in HEIF_SUFFIXES for sample, _ in faults):
        hint = f"{READS_HEIF}; or {hint}"
    return DataError(
        f"{len(faults)} of {of} cannot be read:{''.join(rows[:MAX_NAMED])}{more}", hint=hint
    )


def decode(content: bytes, framing: Framing) -> NDArray[np.uint8] | str:
    """Decode, turn, and give it the model's size.

    Returns:
        uint8 RGB of shape (height, width, 3), or in words why the image cannot be read.
    """
    found = decode_ways(content, [framing])
    return found if isinstance(found, str) else found[0]


def decode_ways(content: bytes, framings: Sequence[Framing]) -> list[NDArray[np.uint8]] | str:
    """The same for several framings, decoded once."""
    import numpy as np

    found = _opened(content)
    if isinstance(found, str):
        return found
    stored, turn = found
    width, height = stored.size
    if max(width, height) > LONGEST * min(width, height):
        return f"its sides are {width}x{height}, further apart than 1:{LONGEST}"
    upright = stored if turn is None else stored.transpose(turn)
    taken = {"upright": upright, "as_stored": stored}
    return [np.asarray(f.apply(taken[f.orientation]), np.uint8) for f in framings]


def _opened(content: bytes) -> tuple[Image.Image, Transpose | None] | str:
    """RGB as it is stored, and what makes it upright; or in words why it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    if not content:
        return "it is empty"
    if fault := metadata_fault(io.BytesIO(content)):
        return fault
    try:
        with Image.open(io.BytesIO(content), formats=readable_formats()) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return _too_large(f"{opened.width}x{opened.height} pixels")
            if opened.mode.startswith(("I", "F")):  # convert() would clip it to white
                return f"it has more than 8 bits a channel (mode {opened.mode})"
            opened.load()  # the EXIF block may come behind the pixels
            return opened.convert("RGB"), turn_of(opened)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        return f"it is no image of a kind that is read ({', '.join(FORMATS[:6])} ...)"
    except Image.DecompressionBombError:  # Pillow's own limit, of the header too
        return _too_large("too many pixels")
    except Exception as error:  # whatever decoders raise
        return str(error).replace("<_io.BytesIO object", "<image") or type(error).__name__


def turn_of(image: Image.Image) -> Transpose | None:
    """What makes an image upright; None where its EXIF block says nothing, or cannot be read.

    Pillow's own `exif_transpose` writes the block anew, which fails over one odd tag.
    """
    from PIL import ExifTags
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # struct.error, SyntaxError, ...
        orientation = None
    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation or 1)


def _too_large(found: str) -> str:
    return f"it has {found}, and {MAX_PIXELS // 1_000_000} million are the limit: make it smaller"


def spread(count: int, wanted: int) -> list[int]:
    """Indices spread over all, for they come class by class."""
    return [i * count // min(wanted, count) for i in range(min(wanted, count))]
