"""Small pictures of the images whose answer changed, in one file beside the report.

They are what the model saw: the decoded, cropped image. A picture is known by the digest of its
image, as `Report.judged` has it.
"""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgekit.build_folder.report import Report
from edgekit.engine.artifact import FileEntry
from edgekit.engine.records import BadRecord, parse_record
from edgekit.evaluation.predictions import ShortDigest
from edgekit.report.image_changes import image_changes

if TYPE_CHECKING:  # what shows a report loads nothing that builds one
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.pipeline.run import Build

THUMBNAILS = "thumbnails.json"
SIDE = 96
"""Pixels of the longer side."""
QUALITY = 70
MAX_BYTES = 1_000_000
"""Of all pictures of a page, as text: it stays below 2 MB, which mail and chat let through."""

Jpeg = Annotated[str, Field(pattern=r"^/9j/[A-Za-z0-9+/]+={0,2}$")]
"""In base64: the first bytes of a JPEG file, and nothing that could end an attribute."""


class Thumbnails(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    pictures: dict[ShortDigest, Jpeg]


def make_thumbnails(build: Build, report: Report) -> str | None:
    """thumbnails.json; None where the recipe leaves it out, or nothing flips.

    Raises:
        IntegrityError: a stored file is not what was stored.
    """
    import numpy as np

    from edgekit.pipeline.draft import images

    decoded = build.artifacts.get(images(build.plan.recipe.data.evaluate_on))
    if not build.plan.recipe.report.thumbnails or decoded is None or report.judged is None:
        return None
    shown = [image.digest for changes in image_changes(report) for image in changes.flipped]
    if not shown:
        return None
    pixels = np.load(decoded.verified("images.npy"), mmap_mode="r")
    place = {digest: i for i, digest in enumerate(report.judged.digests)}
    made = {digest: thumbnail(pixels[place[digest]]) for digest in dict.fromkeys(shown)}
    return Thumbnails(pictures=made).model_dump_json()


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """
    Args:
        pixels: uint8 (height, width, 3).

    Returns:
        a JPEG file in base64.
    """
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def entry_of(text: str) -> FileEntry:
    content = text.encode()
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def read_thumbnails(folder: Path, entry: FileEntry | None) -> tuple[dict[str, str], str]:
    """The pictures by the digests of their images, and why there are none.

    Args:
        entry: what the report says of the file.
    """
    if entry is None:
        return {}, ""
    try:
        content = (folder / THUMBNAILS).read_bytes()
    except OSError:
        return {}, f"{THUMBNAILS} is not beside the report"
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        return {}, f"{THUMBNAILS} is not the one that was written with the report"
    try:
        return parse_record(Thumbnails, content).pictures, ""
    except BadRecord as error:
        return {}, f"{THUMBNAILS} cannot be read: {error}"


def within_budget(pictures: dict[str, str], shown: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of those that are shown get their picture, so that the page stays small.

    Args:
        shown: variant and digest, the most important first.
    """
    left, found = MAX_BYTES, set()
    for variant, digest in shown:
        size = len(pictures.get(digest, ""))
        if size and size <= left:
            found.add((variant, digest))
            left -= size
    return found
