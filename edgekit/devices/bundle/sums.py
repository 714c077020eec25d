"""Checksums of a folder, as sha256sum writes and reads them."""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.engine.artifact import sha256_of

SUM = re.compile(r"([0-9a-f]{64}) [ *]((?![.-])[^/\\]+)")
"""A line of sha256sum about a file with a plain name."""


def read_sums(text: str) -> dict[str, str]:
    """The digests by name that `sha256sum` prints; lines that are none of it are left out."""
    found = map(SUM.fullmatch, text.splitlines())
    return {line[2]: line[1] for line in found if line and line[2].isprintable()}


def sums_text(folder: Path) -> str:
    """The sums of a folder's files, as `sha256sum -c` reads them."""
    return "".join(f"{sha256_of(path)}  {path.name}\n" for path in sorted(folder.iterdir()))
