"""A table of images: a path, a label and perhaps a split in each row, as spreadsheets write it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from edgekit.data.problem import DataProblem, ProblemKind
from edgekit.data.sources._text_file import read_text
from edgekit.data.sources.base import SPLIT_NAMES, Sample
from edgekit.errors import DataError
from edgekit.printable import first_few, shortened

KEY = "data.path"
DELIMITERS = (",", ";", "\t", "|")
COLUMNS = {
    "path": ("file_name", "filename", "filepath", "file_path", "image_path", "file", "image"),
    "label": ("class", "class_name", "classname", "category"),
    "split": ("subset", "set"),
}
"""Each column's other names, which are taken where its own is missing."""


def read_table(table: Path) -> tuple[list[Sample], list[DataProblem]]:
    """The images of a CSV file; its first line names the columns path, label and perhaps split.

    Commas, semicolons, tabs or bars divide it, whichever its first line has. Relative paths begin
    at its folder.

    Raises:
        DataError: naming the line that is wrong.
    """
    text = read_text(table, KEY)
    first, _, rest = text.partition("\n")
    has_mark = first.lower().startswith("sep=")  # Excel's, above the header
    try:
        return _read(table, rest if has_mark else text, int(has_mark))
    except csv.Error as error:
        raise DataError(f"{KEY}: {table} is not a CSV file: {error}") from None


def _read(table: Path, text: str, skipped: int) -> tuple[list[Sample], list[DataProblem]]:
    header = next(iter(text.splitlines()), "")
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.DictReader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        skipinitialspace=f'{delimiter} "' in text,  # else the quotes would be part of the field
    )
    columns = _columns(table, list(reader.fieldnames or ()))
    return [*_samples(table, reader, columns, skipped)], _renamed(table, columns)


def _samples(
    table: Path, reader: csv.DictReader[str], columns: dict[str, str], skipped: int
) -> Iterator[Sample]:
    for row in reader:
        where = f"{table}:{reader.line_num + skipped}"
        path, label = row[columns["path"]], (row[columns["label"]] or "").strip()
        split = ((row[columns["split"]] if "split" in columns else None) or "").strip().lower()
        if split and split not in SPLIT_NAMES:
            raise DataError(f"{where}: unknown split {shortened(split)!r}")
        if not path or not label:
            raise DataError(f"{where}: a path and a label expected")
        name = _name(table.parent, path)
        yield Sample(name, table.parent / name, label, SPLIT_NAMES[split] if split else None)


def _columns(table: Path, header: list[str]) -> dict[str, str]:
    """The heading of each column that is read.

    Raises:
        DataError: there is no path or no label, or several columns could be it.
    """
    found = {}
    for column, others in COLUMNS.items():
        for names in ((column,), others):
            given = [h for h in header if h == column] or [
                h for h in header if h.strip().lower() in names
            ]
            if len(given) > 1:
                several = " and ".join(first_few(given, 3))
                raise DataError(
                    f"{table}: {several} could each be the column {column}",
                    hint=f"call one of them {column}",
                )
            if given:
                found[column] = given[0]
                break
    missing = sorted({"path", "label"} - set(found))
    if missing:
        raise DataError(
            f"{table}: no column {' and no column '.join(missing)}",
            hint="the first line must name the columns: path,label or path,label,split",
        )
    return found


def _renamed(table: Path, columns: dict[str, str]) -> list[DataProblem]:
    other = {column: name for column, name in columns.items() if name.strip().lower() != column}
    if not other:
        return []
    words = ", ".join(f"{name.strip()} for {column}" for column, name in other.items())
    return [
        DataProblem(
            kind=ProblemKind.COLUMNS,
            count=len(other),
            words=f"{table.name}: columns taken: {words}",
        )
    ]


def _name(folder: Path, path: str) -> str:
    """A row's path as it leads to a file: as it stands, without spaces at its ends, or with the
    backslashes of Windows turned; as it stands where none does."""
    turned = path.strip().replace("\\", "/")
    ways = dict.fromkeys((path, path.strip(), turned))
    # Not Path.is_file, which raises where a name is too long.
    return next((w for w in ways if len(ways) > 1 and os.path.isfile(folder / w)), path)
