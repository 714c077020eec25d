"""Every way edgekit fails on purpose, each with the exit code scripts can rely on.

    EdgekitError            1   a fault of edgekit's own
    +-- InputError          2   wrong input: recipe, target, data, weights, arguments, disk
    |   +-- ConfigError         a YAML file, all of its problems at once, each with its line
    |   +-- DataError           images, labels, splits
    |   +-- WeightsError        a checkpoint, or its fit to the architecture
    |   +-- StorageError        no space, no permission
    |   +-- MissingPackage      an optional dependency is not installed
    +-- GateBroken          3   a measured figure is past its limit
    |   +-- NotAsAsked          the artifact is not what the recipe asked for
    +-- IntegrityError      4   a digest differs, a stored file is corrupt
    +-- DeviceError         5   a device, a runtime process or the way to it

A message says what failed and where; `hint` says what to do about it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class EdgekitError(Exception):
    """A failure with a message for a person, a hint, and an exit code for a script."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(EdgekitError):
    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a YAML file: where it stands and what was expected there."""

    where: str
    line: int | None
    message: str


class ConfigError(InputError):
    """All problems found in one recipe or target file."""

    def __init__(self, path: Path | str, problems: list[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"{path}: {count}"]
        for problem in problems:
            at = f"line {problem.line}" if problem.line else "file"
            where = f"{problem.where}: " if problem.where else ""
            lines.append(f"  {at}: {where}{problem.message}")
        super().__init__("\n".join(lines))
        self.problems = problems


class DataError(InputError):
    pass


class WeightsError(InputError):
    pass


class StorageError(InputError):
    pass


class MissingPackage(InputError):
    def __init__(self, package: str, extra: str, needed_by: str) -> None:
        super().__init__(
            f"{needed_by} needs the package {package}, which is not installed",
            hint=f"pip install 'edgekit-vision[{extra}]'",
        )


class GateBroken(EdgekitError):
    exit_code = 3


class NotAsAsked(GateBroken):
    pass


class IntegrityError(EdgekitError):
    exit_code = 4


class DeviceError(EdgekitError):
    exit_code = 5


@contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's "no space" and "no permission" into a `StorageError`.

    A permission that is missing elsewhere than at `where` is not the storage's: it passes.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"no space left on the disk while writing to {error.filename or where}",
                hint=f"free some space, or choose another place with --store; {where} holds "
                "the cache and may be deleted",
            ) from error
        denied = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        if denied and _concerns(error, where):
            raise StorageError(
                f"cannot write to {error.filename or where}: {error.strerror}",
                hint="choose a folder you may write to, with --store or --build-dir",
            ) from error
        raise


def _concerns(error: OSError, where: Path) -> bool:
    """Whether the error is about `where`, something in it, or a folder it was to be made in."""
    if not isinstance(error.filename, str | bytes):
        return True
    path, root = Path(os.fsdecode(error.filename)).absolute(), where.absolute()
    return path.is_relative_to(root) or root.is_relative_to(path)
