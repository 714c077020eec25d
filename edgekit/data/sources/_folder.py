"""Class folders, alone or in folders of splits: images, and all that is passed over on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.data.formats import HEIF_SUFFIXES, is_image, kind_of_picture
from edgekit.data.problem import READS_HEIF, DataProblem, ProblemKind, counted, tally
from edgekit.data.sources.base import SPLIT_NAMES, Sample, SplitName
from edgekit.errors import DataError

SYSTEM_FOLDERS = {
    "__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information", "thumbs.db",
    "desktop.ini",
}  # fmt: skip
"""What archives and systems leave beside what is wanted."""
MAX_SHOWN = 5


def list_folder(root: Path) -> tuple[list[Sample], list[DataProblem], list[DataError]]:
    """The images below a folder, what stands there that is none, and what no build can go on with:
    classes without images.

    Raises:
        DataError: images that belong to no class, levels that are mixed.
    """
    walk = _Walk(root)
    return walk.samples(), walk.problems(), walk.refusals()


@dataclass
class _Walk:
    root: Path
    hidden: list[Path] = field(default_factory=list)
    linked: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)
    nested: list[Path] = field(default_factory=list)
    left_out: dict[Path, str] = field(default_factory=dict)
    """Pictures that are not read, with what they look like."""
    empty: list[Path] = field(default_factory=list)
    """Folders of classes without images."""

    def samples(self) -> list[Sample]:
        folders = self._subfolders(self.root)
        named = {f: f.name.lower() for f in folders}
        splits = {f: SPLIT_NAMES[name] for f, name in named.items() if name in SPLIT_NAMES}
        self._refuse_loose_images(self.root, *splits)
        if splits:
            _refuse_mixed_levels(self.root, folders, [*splits])
            found = [
                sample
                for folder, split in splits.items()
                for class_folder in self._subfolders(folder)
                for sample in self._class_folder(class_folder, split)
            ]
        else:
            found = [s for folder in folders for s in self._class_folder(folder, None)]
        return found

    def _class_folder(self, folder: Path, split: SplitName | None) -> list[Sample]:
        files = sorted(path for path in self._files(folder) if is_image(path))
        self.nested += [path for path in files if path.parent != folder]
        if not files:
            self.empty.append(folder)
        return [Sample(str(p.relative_to(self.root)), p, folder.name, split) for p in files]

    def _files(self, folder: Path) -> Iterator[Path]:
        """All files below a folder but hidden ones; links to folders are not entered."""
        for name, folders, files in os.walk(folder, onerror=self._note_closed):
            base = Path(name)
            for sub in list(folders):
                if _is_hidden(sub):
                    self.hidden.append(base / sub)
                    folders.remove(sub)
                elif (base / sub).is_symlink():
                    self.linked.append(base / sub)
            yield from self._seen(base / file for file in files)

    def _seen(self, files: Iterator[Path]) -> Iterator[Path]:
        """Files that are not hidden; pictures that are not read are noted."""
        for path in files:
            if _is_hidden(path.name):
                self.hidden.append(path)
                continue
            kind = None if is_image(path) else kind_of_picture(path)
            if kind:
                self.left_out[path] = kind
            yield path

    def _note_closed(self, error: OSError) -> None:
        self.closed.append(Path(error.filename))

    def _subfolders(self, folder: Path) -> list[Path]:
        folders = sorted(path for path in folder.iterdir() if path.is_dir())
        self.hidden += [path for path in folders if _is_hidden(path.name)]
        return [path for path in folders if not _is_hidden(path.name)]

    def _refuse_loose_images(self, *folders: Path) -> None:
        files = (path for folder in folders for path in folder.iterdir() if not path.is_dir())
        loose = sorted(str(path) for path in self._seen(files) if is_image(path))
        if loose:
            raise DataError(
                f"{counted(len(loose), 'image')} in no folder of a class: "
                f"{', '.join(loose[:MAX_SHOWN])}{_and_more(loose)}",
                hint="put each image into the folder of its class; or is the path one folder too "
                f"deep? The folder above is {self.root.resolve().parent}",
            )

    def refusals(self) -> list[DataError]:
        if not self.empty:
            return []
        lost = {*self.empty}
        unread = [kind for path, kind in self.left_out.items() if lost & {*path.parents}]
        error = DataError(
            f"{counted(len(lost), 'class folder')} without an image"
            + (f" that is read ({tally(unread)})" if unread else "")
            + f": {', '.join(map(str, self.empty[:MAX_SHOWN]))}{_and_more(self.empty)}",
            hint=READS_HEIF
            if HEIF_SUFFIXES & {*unread}
            else "remove the folder, or put images into it",
        )
        return [error]

    def problems(self) -> list[DataProblem]:
        kinds = [*self.left_out.values()]
        not_read = f"of a kind that is not read, left out: {tally(kinds)}"
        advice = READS_HEIF if HEIF_SUFFIXES & {*kinds} else ""
        links = "to folders within a class, not followed"
        deeper = "deeper than the folder of a class, taken for that class"
        found = [
            self._problem(ProblemKind.LEFT_OUT, [*self.left_out], "picture", not_read, advice),
            self._problem(ProblemKind.HIDDEN, self.hidden, "hidden name", "passed over"),
            self._problem(ProblemKind.LINKED, self.linked, "link", links),
            self._problem(ProblemKind.CLOSED, self.closed, "folder", "that may not be read"),
            self._problem(ProblemKind.NESTED, self.nested, "image", deeper),
        ]
        return [problem for problem in found if problem.count]

    def _problem(
        self, kind: ProblemKind, paths: list[Path], noun: str, words: str, advice: str = ""
    ) -> DataProblem:
        return DataProblem(
            kind=kind,
            count=len(paths),
            words=f"{counted(len(paths), noun)} {words}",
            example=str(min(paths).relative_to(self.root)) if paths else "",
            advice=advice,
        )


def _refuse_mixed_levels(root: Path, folders: list[Path], splits: list[Path]) -> None:
    others = [folder.name for folder in folders if folder not in splits]
    if others:
        raise DataError(
            f"{root} holds split folders ({', '.join(f.name for f in splits)}) beside others: "
            f"{', '.join(others[:MAX_SHOWN])}",
            hint="keep either class folders or split folders at one level",
        )


def _and_more(found: Sequence[object]) -> str:
    return f" and {len(found) - MAX_SHOWN} more" if len(found) > MAX_SHOWN else ""


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS
