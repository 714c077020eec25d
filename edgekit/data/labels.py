"""Class names as files and pages can carry them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable

from edgekit.errors import DataError

BREAKING = {"Cc", "Zl", "Zp", "Cs"}
"""Unicode categories of what ends a line or moves a cursor, and of what is no character at all."""


def same_form(label: str) -> str:
    """A name in Unicode's composed form (NFC): folders made on a Mac are decomposed, lists seldom.

    >>> same_form("Mu\\u0308sli") == "M\\u00fcsli"
    True
    """
    return label if label.isascii() else unicodedata.normalize("NFC", label)


def refuse_control_characters(labels: Iterable[str]) -> None:
    """A line break in a name would shift every name after it in labels.txt.

    Raises:
        DataError: naming the classes that hold such a character, or are empty.
    """
    bad = [
        label
        for label in labels
        if not label.strip() or any(unicodedata.category(sign) in BREAKING for sign in label)
    ]
    if bad:
        raise DataError(
            f"{len(bad)} class names are empty, hold a line break or another control character, "
            f"or are not UTF-8: {', '.join(map(ascii, bad[:5]))}",
            hint="rename the class: labels.txt has one name a line",
        )


def yaml_list(labels: Iterable[str]) -> str:
    """A list as a recipe takes it, each name in quotes: no, 1 and `a, b` are no text without.

    >>> yaml_list(["no", "a, b"])
    '["no", "a, b"]'
    """
    return json.dumps(list(labels), ensure_ascii=False)
