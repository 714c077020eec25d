"""A folder of class folders, train/val/test folders of those, or a CSV of path,label."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

from edgekit.data.class_list import read_class_list
from edgekit.data.labels import same_form, yaml_list
from edgekit.data.problem import DataProblem, ProblemKind
from edgekit.data.sources._csv_table import read_table
from edgekit.data.sources._folder import list_folder
from edgekit.data.sources.base import Listing, Source
from edgekit.engine.user_paths import UserPath
from edgekit.errors import DataError


class ImageFolder(Source):
    source: Literal["imagefolder"]
    """A folder or a table of your own images."""
    path: UserPath
    """A folder, or a CSV file with the columns path, label and (optionally) split. In a folder,
    every file whose suffix Pillow reads is an image; other pictures are counted and told."""
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
        refusals: list[DataError] = []
        if root.is_file():
            samples, problems = read_table(root)
        else:
            samples, problems, refusals = list_folder(root)
        if not samples:
            raise DataError(
                "; ".join([f"data.path: no images under {root}", *map(str, problems)]),
                hint="expected <class>/<image>, e.g. cat/1.jpg",
            )
        # In the order of the names as they stand on the disk: so other frameworks sort them.
        found = dict.fromkeys(same_form(label) for label in sorted({s.label for s in samples}))
        samples = [replace(sample, label=same_form(sample.label)) for sample in samples]
        classes = self._ordered(set(found)) if self.classes else tuple(found)
        if not self.classes:
            problems += _by_number(classes)
        return Listing(tuple(samples), classes, tuple(problems), tuple(refusals))

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


def _by_number(classes: tuple[str, ...]) -> list[DataProblem]:
    """Names that are numbers have two orders, and the model's scores may have the other one."""
    if not all(name.isdecimal() and len(name) < 10 for name in classes):
        return []
    numbers = sorted(classes, key=int)
    if numbers == [*classes]:
        return []
    return [
        DataProblem(
            kind=ProblemKind.ORDER,
            count=len(classes),
            words="the classes are numbers and in the order of text, as torchvision and Keras sort "
            f"folders: {', '.join(classes[:3])}, ...",
            advice="If the model's scores are in the order of numbers, write into the recipe's "
            f"model section classes: {yaml_list(numbers)}",
        )
    ]
