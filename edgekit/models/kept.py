"""What a reader of foreign models hands back, and the words of the libraries it uses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

LONGEST = 300
"""Characters of a library's message that are shown: some print the whole model."""

STYLE = re.compile(r"\x1b\[[0-9;]*m")
SAYS_NOTHING = ("Exception encountered when calling", "in user code:", "File ")
"""How Keras and TensorFlow begin, before they come to the cause."""


OneScore = Literal["probability", "logit"]
"""What the one score was that a model of two classes gave, before it was made two."""


class Kept(NamedTuple):
    """A model that was checked and written down in a form that every runtime reads."""

    file: str
    """The name of the file or folder."""
    parameters: int
    """How many numbers its weights are."""
    remark: str | None = None
    """How the file differs from what was given, for a person to read."""
    one_score: OneScore | None = None


def words_of(error: Exception | str, files: dict[Path, str]) -> str:
    """The first line of a library's message that says something, of bounded length.

    Args:
        files: paths that mean nothing to the user, and what to call each instead.

    >>> words_of(ValueError("/store/objects/9f/model.h5 is bad\\nand more"),
    ...          {Path("/store/objects/9f/model.h5"): "net.h5"})
    'net.h5 is bad'
    """
    lines = [line.strip() for line in STYLE.sub("", str(error)).splitlines() if line.strip()]
    first = next((line for line in lines if not line.startswith(SAYS_NOTHING)), "")
    first = first or type(error).__name__
    for path, name in files.items():
        first = first.replace(str(path), name)
    return first if len(first) <= LONGEST else f"{first[:LONGEST]} ..."
