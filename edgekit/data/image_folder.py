"""Images of a folder that is no data set, as `--images` names it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.data.formats import is_image
from edgekit.data.framing import Framing
from edgekit.data.images import MAX_NAMED, decode, spread
from edgekit.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def decode_folder(folder: Path, framing: Framing, samples: int) -> NDArray[np.uint8]:
    """Images of a folder and its subfolders, spread over all: uint8 (images, height, width, 3).

    Raises:
        DataError: as `files_of` and `decode_files`.
    """
    return decode_files(files_of(folder, samples), framing)


def files_of(folder: Path, samples: int) -> list[Path]:
    """Image files of a folder and its subfolders, spread over all.

    Raises:
        DataError: there is no folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"--images: {folder} is no folder")
    files = sorted(p for p in folder.rglob("*") if is_image(p) and p.is_file())
    if not files:
        raise DataError(f"--images: no images in {folder}", hint="give a folder of images")
    return [files[i] for i in spread(len(files), samples)]


def decode_files(files: list[Path], framing: Framing) -> NDArray[np.uint8]:
    """uint8 (images, height, width, 3).

    Raises:
        DataError: images that cannot be read, all of them named.
    """
    import numpy as np

    decoded = [decode(path.read_bytes(), framing) for path in files]
    faults = [(p, why) for p, why in zip(files, decoded, strict=True) if isinstance(why, str)]
    if faults:
        named = "".join(f"\n  {path}: {why}" for path, why in faults[:MAX_NAMED])
        more = f"\n  and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
        raise DataError(
            f"--images: {len(faults)} of {len(files)} images cannot be read:{named}{more}",
            hint="repair or remove them",
        )
    return np.stack([image for image in decoded if not isinstance(image, str)])
