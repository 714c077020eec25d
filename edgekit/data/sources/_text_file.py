"""Text files of the user's, as spreadsheets and editors of every system write them."""

from __future__ import annotations

import codecs
import shlex
from pathlib import Path

from edgekit.engine.user_files import read_file
from edgekit.errors import DataError, InputError

MAX_BYTES = 200_000_000
"""A list of class names or images that is larger is something else."""
SAVE = "save it as UTF-8"
MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def read_text(path: Path, key: str) -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Args:
        key: of the recipe, under which the file is named.

    Raises:
        DataError: it cannot be read, is too large, or is in another encoding.
    """
    try:
        content = read_file(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"{key}: {path}: {error.strerror}") from None
    except InputError as error:
        raise DataError(f"{key}: {error.message}") from None
    known = MARKS.get(content[:2])
    if known:
        raise DataError(f"{key}: {path} is not UTF-8 but {known}", hint=_conversion(path, known))
    if b"\0" in content:
        raise DataError(f"{key}: {path} is not a text file: it holds zero bytes", hint=SAVE)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{key}: {path} is not UTF-8: byte {content[error.start]:#x} in line {line}",
            hint=_conversion(path, "WINDOWS-1252"),
        ) from None


def _conversion(path: Path, encoding: str) -> str:
    new = path.with_name(f"utf8-{path.name}")
    command = f"iconv -f {encoding} -t UTF-8 {shlex.quote(str(path))} > {shlex.quote(str(new))}"
    return f"{SAVE}, e.g. with: {command}"
