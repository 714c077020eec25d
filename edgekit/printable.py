"""Text from outside, as it may reach a terminal or a page: control characters are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

# C0 but tab and line feed, DEL, C1, marks that turn the direction of a line, separators of lines
# that no editor shows, and halves of characters, which no stream can write. Joiners stay: letters
# of living scripts need them.
HIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
LONGEST = 120
"""Characters of a value that a message repeats."""


def printable(text: str) -> str:
    r"""The text with its control characters as a Python string would show them.

    >>> print(printable("\x1b[31mred"))
    \x1b[31mred
    """
    return HIDDEN.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: str) -> str:
    """The same without line breaks, for a name within a line."""
    return printable(text).replace("\n", "\\n")


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text, or its two ends.

    >>> shortened("abcdefghij", 5)
    'ab…ij'
    """
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def first_few(lines: Iterable[str], few: int) -> list[str]:
    """The first lines, and how many more there are."""
    every = list(lines)
    more = [f"and {len(every) - few} more"] if len(every) > few else []
    return every[:few] + more
