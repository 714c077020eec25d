"""What is odd about a data set and stops nothing: told before anything runs, and in the report."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

READS_HEIF = "pip install 'edgekit-vision[heif]' reads HEIC"


class ProblemKind(StrEnum):
    LEFT_OUT = "left out"
    """Pictures in formats that are not read."""
    UNREADABLE = "unreadable"
    HIDDEN = "hidden"
    LINKED = "linked folder"
    CLOSED = "closed folder"
    NESTED = "nested"
    COLUMNS = "columns"
    """Of a table, taken under other names."""
    ORDER = "order of classes"
    CASE = "case of classes"
    ABSENT = "class without images"
    FEW = "few images"
    UNEVEN = "uneven classes"
    DOUBLED = "doubled"
    COPIES = "copies"
    NEAR = "near-duplicates"
    """Judged pictures of which the training split holds another size or encoding."""
    OBLONG = "oblong"
    ANIMATED = "animated"
    TRANSPARENT = "transparent"
    CMYK = "cmyk"
    EXIF = "unreadable EXIF"
    TURNED = "turned upright"


class DataProblem(BaseModel):
    """One kind of oddity, counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ProblemKind
    count: int
    words: str
    """What was found and what is done about it, the count in it."""
    example: str = ""
    """A file or a class."""
    advice: str = ""

    def __str__(self) -> str:
        example = f", e.g. {self.example}" if self.example else ""
        return self.words + example + (f". {self.advice}" if self.advice else "")


def counted(count: int, one: str, many: str = "") -> str:
    """
    >>> counted(1, "image"), counted(1200, "image"), counted(2, "class", "classes")
    ('1 image', '1,200 images', '2 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def in_train_too(count: int, one: str) -> str:
    """
    >>> in_train_too(1, "judged image")
    '1 judged image seems to stand in the train split too, in another size or encoding'
    """
    seem = "seems" if count == 1 else "seem"
    where = "in the train split too, in another size or encoding"
    return f"{counted(count, one)} {seem} to stand {where}"


def tally(kinds: Sequence[str], most: int = 6) -> str:
    """
    >>> tally([".heic", ".svg", ".heic"])
    '2 .heic, 1 .svg'
    """
    counts = sorted({kind: kinds.count(kind) for kind in set(kinds)}.items(), key=lambda e: -e[1])
    rest = f" and {len(counts) - most} more kinds" if len(counts) > most else ""
    return ", ".join(f"{count:,} {kind}" for kind, count in counts[:most]) + rest
