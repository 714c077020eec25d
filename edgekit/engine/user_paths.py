"""Paths and functions that a user's file names. They are relative to that file, and are resolved
once, where the file is loaded: whoever loads it validates it with `loaded_from(folder)`."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo

FOLDER = "folder"


def loaded_from(folder: Path) -> dict[str, Path]:
    """The validation context of a file in this folder.

    >>> from pydantic import TypeAdapter
    >>> load = TypeAdapter(UserPath).validate_python
    >>> load("images", context=loaded_from(Path("recipes"))).as_posix()
    'recipes/images'
    >>> load("/images", context=loaded_from(Path("recipes"))).as_posix()
    '/images'
    """
    return {FOLDER: folder}


def folder_of(context: Any) -> Path:
    """The folder of the file that is loaded; the current one where none is."""
    return context[FOLDER] if context else Path()


def at_home(path: Path) -> Path:
    """A path whose ~ or ~name stands for a home.

    Raises:
        ValueError: nobody has that name.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: nobody's home is {path.parts[0]}: give the whole path") from None


def resolved(path: Path, info: ValidationInfo) -> Path:
    """A path as the program can use it."""
    return folder_of(info.context) / at_home(path)


UserPath = Annotated[Path, Field(strict=False), AfterValidator(resolved)]


@dataclass(frozen=True)
class UserFunction:
    """A function of the user's, in a module beside the recipe or installed."""

    name: str
    """`package.module:function`."""
    folder: Path
    """Of the recipe; on the import path while the function is imported and runs."""

    @property
    def module(self) -> str:
        return self.name.split(":")[0]

    def __call__(self, *arguments: Any) -> Any:
        """Import the function and call it. It may raise whatever the user's code raises."""
        sys.path.insert(0, str(self.folder.resolve()))
        try:
            function = getattr(importlib.import_module(self.module), self.name.split(":")[1])
            return function(*arguments)
        finally:
            sys.path.pop(0)
