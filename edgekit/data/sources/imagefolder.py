"""A folder of class folders, train/val/test folders of those, or a CSV of path,label."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edgekit.data.labels import same_form
from edgekit.data.sources._class_list import read_class_list
from edgekit.data.sources._csv_table import read_table
from edgekit.data.sources.base import SPLIT_NAMES, Listing, Sample, Source, SplitName
from edgekit.engine.user_paths import UserPath
from edgekit.errors import DataError


class ImageFolder(Source):
    source: Literal["imagefolder"]
    path: UserPath
    """A folder, or a CSV file with the columns path, label and (optionally) split. In a folder,
    every file whose suffix Pillow reads is an image."""
    classes: UserPath | None = None
    """A file of class names in the order of the model's scores: one a line, or JSON, either a
    list, {"0": name} or {name: 0}. Without it: the names of the class folders, sorted as text."""

    def listing(self) -> Listing:
        root = self.path
        if not root.exists():
            raise DataError(
                f"data.path: {root} does not exist",
                hint="give a folder or a CSV file; a relative path begins at the recipe's folder",
            )
        samples = read_table(root) if root.is_file() else _from_folder(root)
        if not samples:
            raise DataError(
                f"data.path: no images under {root}",
                hint="expected <class>/<image>, e.g. cat/1.jpg",
            )
        # In the order of the names as they stand on the disk: so other frameworks sort them.
        found = dict.fromkeys(same_form(label) for label in sorted({s.label for s in samples}))
        samples = [replace(sample, label=same_form(sample.label)) for sample in samples]
        return Listing(tuple(samples), self._ordered(set(found)) if self.classes else tuple(found))

    def _ordered(self, found: set[str]) -> tuple[str, ...]:
        """The classes as the file of class names has them."""
        assert self.classes
        classes = read_class_list(self.classes, found)
        twice = sorted(name for name, count in Counter(classes).items() if count > 1)
        if twice:
            raise DataError(f"{self.classes} names a class twice: {', '.join(twice[:5])}")
        unknown = sorted(found - set(classes))
        if unknown:
            raise DataError(
                f"{len(unknown)} class folders are not in {self.classes}: {', '.join(unknown[:5])}",
                hint=f"its first classes are {', '.join(classes[:5])}" if classes else None,
            )
        return tuple(classes)


def _from_folder(root: Path) -> list[Sample]:
    folders = _subfolders(root)
    splits = {f: SPLIT_NAMES[f.name.lower()] for f in folders if f.name.lower() in SPLIT_NAMES}
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


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not _is_hidden(Path(p.name)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
