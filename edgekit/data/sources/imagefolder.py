"""A folder of class folders, train/val/test folders of those, or a CSV of path,label."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path
from typing import Literal

from edgekit.data.sources.base import Listing, Sample, Source, SplitName
from edgekit.engine.user_paths import UserPath
from edgekit.errors import DataError

SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "calib": "calibration",
    "calibration": "calibration",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class ImageFolder(Source):
    source: Literal["imagefolder"]
    path: UserPath
    """A folder, or a CSV file with the columns path, label and (optionally) split. In a folder,
    every file whose suffix Pillow reads is an image."""
    classes: UserPath | None = None
    """A file of class names in the order of the model's scores: one a line, or JSON, either a
    list or {name: [index, ...]}. Without it: the names of the class folders, sorted."""

    def listing(self) -> Listing:
        root = self.path
        if not root.exists():
            raise DataError(
                f"data.path: {root} does not exist",
                hint="give a folder or a CSV file; a relative path begins at the recipe's folder",
            )
        samples = _from_csv(root) if root.is_file() else _from_folder(root)
        if not samples:
            raise DataError(
                f"data.path: no images under {root}",
                hint="expected <class>/<image>, e.g. cat/1.jpg",
            )
        found = {sample.label for sample in samples}
        if self.classes is None:
            return Listing(tuple(samples), tuple(sorted(found)))
        classes = _class_names(self.classes)
        twice = sorted(name for name in set(classes) if classes.count(name) > 1)
        if twice:
            raise DataError(f"{self.classes} names a class twice: {', '.join(twice[:5])}")
        unknown = sorted(found - set(classes))
        if unknown:
            raise DataError(
                f"{len(unknown)} class folders are not in {self.classes}: {', '.join(unknown[:5])}"
            )
        return Listing(tuple(samples), tuple(classes))


def _from_folder(root: Path) -> list[Sample]:
    folders = _subfolders(root)
    splits = {f: SPLIT_FOLDERS[f.name.lower()] for f in folders if f.name.lower() in SPLIT_FOLDERS}
    _refuse_loose_images(root, *splits)
    if not splits:
        return [s for folder in folders for s in _class_folder(root, folder, None)]
    _refuse_mixed_levels(root, folders, [*splits])
    return [
        sample
        for folder, split in splits.items()
        for class_folder in _subfolders(folder)
        for sample in _class_folder(root, class_folder, split)
    ]


def _refuse_mixed_levels(root: Path, folders: list[Path], splits: list[Path]) -> None:
    others = [folder.name for folder in folders if folder not in splits]
    if others:
        raise DataError(
            f"{root} holds split folders ({', '.join(f.name for f in splits)}) beside others: "
            f"{', '.join(others[:5])}",
            hint="keep either class folders or split folders at one level",
        )


def _class_folder(root: Path, folder: Path, split: SplitName | None) -> list[Sample]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if _is_image(path) and not _is_hidden(path.relative_to(folder))
    )
    if not files:
        raise DataError(
            f"the class folder {folder} holds no images",
            hint="remove the folder, or put images into it",
        )
    return [Sample(str(p.relative_to(root)), p, folder.name, split) for p in files]


def _refuse_loose_images(*folders: Path) -> None:
    loose = sorted(
        str(path)
        for folder in folders
        for path in folder.iterdir()
        if _is_image(path) and not _is_hidden(Path(path.name))
    )
    if loose:
        more = f" and {len(loose) - 5} more" if len(loose) > 5 else ""
        raise DataError(
            f"{len(loose)} image{'s' * (len(loose) > 1)} in no folder of a class: "
            f"{', '.join(loose[:5])}{more}",
            hint="put each image into the folder of its class",
        )


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _image_suffixes() and not path.is_dir()


@functools.cache
def _image_suffixes() -> frozenset[str]:
    from PIL import Image

    suffixes = Image.registered_extensions()  # of what Pillow reads or writes, e.g. PDF
    return frozenset(suffix for suffix, form in suffixes.items() if form in Image.OPEN)


def _from_csv(table: Path) -> list[Sample]:
    try:
        return _rows(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data.path: {table} is not a CSV file: {error}") from None


def _rows(table: Path) -> list[Sample]:
    samples = []
    with table.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = {"path", "label"} - set(reader.fieldnames or ())
        if missing:
            raise DataError(
                f"{table}: no column {' and no column '.join(sorted(missing))}",
                hint="the first line must name the columns: path,label or path,label,split",
            )
        for row in reader:
            split = (row.get("split") or "").strip().lower()
            if split and split not in SPLIT_FOLDERS:
                raise DataError(f"{table}:{reader.line_num}: unknown split {split!r}")
            if not row["path"] or not (row["label"] or "").strip():
                raise DataError(f"{table}:{reader.line_num}: a path and a label expected")
            samples.append(
                Sample(
                    row["path"],
                    table.parent / row["path"],
                    row["label"].strip(),
                    SPLIT_FOLDERS[split] if split else None,
                )
            )
    return samples


def _class_names(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"data.classes: {path}: {error.strerror}") from None
    if path.suffix != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"data.classes: {path} is not valid JSON: {error}") from None
    if isinstance(value, list):
        return [str(name) for name in value]
    order = {name: entry[0] if isinstance(entry, list) else entry for name, entry in value.items()}
    names = sorted(order, key=lambda name: int(order[name]))
    if [int(order[name]) for name in names] != list(range(len(names))):
        raise DataError(f"{path}: class indices must run from 0 to {len(names) - 1} without gaps")
    return names


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not _is_hidden(Path(p.name)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
