"""Every way edgekit fails on purpose, each with the exit code scripts can rely on.

    EdgekitError            1   a fault of edgekit's own
    +-- InputError          2   wrong input: recipe, target, data, weights, arguments, disk
    |   +-- ConfigError         a YAML file, all of its problems at once, each with its line
    |   +-- DataError           images, labels, splits
    |   +-- WeightsError        a checkpoint, or its fit to the architecture
    |   +-- StorageError        no space, no permission, no folder
    |   +-- MissingPackage      an optional dependency is not installed
    |   +-- Unsupported         this model cannot be built for this runtime
    +-- WorkerFailed        1   workers were lost or are unlike the others, whatever their step
    +-- GateBroken          3   a measured figure is past its limit, or the float model is no better
    |   |                       than guessing, so that no figure says anything ("untrained")
    |   +-- NotAsAsked          the artifact is not what the recipe asked for
    +-- IntegrityError      4   a digest differs, a stored file is corrupt
    +-- DeviceError         5   a device, a runtime process or the way to it

A message says what failed and where; `hint` says what to do about it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edgekit.printable import first_few, one_line, shortened


class EdgekitError(Exception):
    """A failure with a message for a person, a hint, and an exit code for a script."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def add(self, words: str) -> None:
        """Say more, as what came of the failure."""
        self.message += f"; {words}"
        self.args = (self.message,)


def ending(code: int) -> str:
    """How a process ended, by its return code: `exit code 1`, `signal SIGSEGV`, `signal 40`."""
    if code >= 0:
        return f"exit code {code}"
    names = {int(each): each.name for each in signal.Signals}  # those of real time have none
    return f"signal {names.get(-code, -code)}"


class InputError(EdgekitError):
    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a YAML file: where it stands and what was expected there."""

    where: str
    line: int | None
    message: str


MAX_SHOWN, LONGEST_PROBLEM = 15, 240
"""Problems of a file that are told at once, and the characters of each: no more than a screen."""


class ConfigError(InputError):
    """All problems found in one recipe or target file."""

    def __init__(self, path: Path | str, problems: list[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = first_few(map(_line, problems), MAX_SHOWN)
        super().__init__("\n  ".join([f"{path}: {count}", *lines]))
        self.problems = problems


def _line(problem: Problem) -> str:
    at = f"line {problem.line}" if problem.line else "file"
    where = f"{shortened(one_line(problem.where))}: " if problem.where else ""
    return f"{at}: {where}{shortened(one_line(problem.message), LONGEST_PROBLEM)}"


class DataError(InputError):
    pass


class WeightsError(InputError):
    pass


class StorageError(InputError):
    pass


class MissingPackage(InputError):
    def __init__(self, package: str, extra: str, needed_by: str) -> None:
        """
        Args:
            extra: of edgekit's own, that brings the package; empty for what it always needs.
        """
        super().__init__(
            f"{needed_by} needs the package {package}, which is not installed",
            hint=f"pip install 'edgekit-vision[{extra}]'" if extra else f"pip install {package}",
        )


class Unsupported(InputError):
    pass


class WorkerFailed(EdgekitError):
    """Workers failed, and not their step: on another machine, or with more memory, it may pass."""


class GateBroken(EdgekitError):
    exit_code = 3


class NotAsAsked(GateBroken):
    pass


class IntegrityError(EdgekitError):
    exit_code = 4


class Fault(StrEnum):
    """What went wrong with a device, by a name that a script can look for."""

    UNREACHABLE = "unreachable"
    UNKNOWN_HOST_KEY = "unknown host key"
    CHANGED_HOST_KEY = "changed host key"
    PERMISSION_DENIED = "permission denied"
    REFUSED = "refused"
    CONNECTION_LOST = "connection lost"
    NO_ANSWER = "no answer"
    REBOOTED = "rebooted"
    FULL = "device full"
    READ_ONLY = "read-only"
    HASH_MISMATCH = "hash mismatch"
    WRONG_ARCHITECTURE = "wrong architecture"
    MISSING_RUNTIME = "missing runtime"
    MISSING_PROGRAM = "missing program"
    CRASHED = "crashed"
    FALL_BACK = "fall-back"
    WRONG_RESULT = "wrong result"
    NO_RESULT = "no result"
    UNHEALTHY = "unhealthy"
    INTERRUPTED = "interrupted"
    OTHER = "other"


OF_THE_FILE = (Fault.CRASHED, Fault.FALL_BACK, Fault.WRONG_RESULT)
"""Faults that say something about a file; all others are the device's."""


class DeviceError(EdgekitError):
    exit_code = 5

    def __init__(
        self, message: str, *, hint: str | None = None, fault: Fault = Fault.OTHER
    ) -> None:
        super().__init__(message, hint=hint)
        self.fault = fault


DISK_FULL = re.compile(
    r"os error 28|\d+ requested and \d+ written|unexpected pos|PytorchStreamWriter failed"
)
"""How a full disk sounds where no error number comes along: safetensors, numpy, torch."""
STORE = "--store"
STORE_VARIABLE = "the variable EDGEKIT_STORE"
MIN_FREE_BYTES = 1_000_000  # a write that fails with less than this left fails for it


@contextmanager
def storage_errors(where: Path, option: str = STORE) -> Iterator[None]:
    """Turn "no space", "no permission" and "that is a file" into a `StorageError`.

    A permission that is missing elsewhere than at `where` is not the storage's: it passes.

    Args:
        option: what a user chooses another place by. What lies in the store may be deleted, and the
            hint says so.

    Raises:
        StorageError: in place of the error that the disk or the folder caused.
    """
    try:
        yield
    except EdgekitError:
        raise
    except Exception as error:
        for explain in (_no_space, _no_permission, _file_in_the_way):
            if found := explain(error, where, option):
                raise found from error
        raise


def _no_space(error: Exception, where: Path, option: str) -> StorageError | None:
    if not _is_full(error, where):
        return None
    path = _path(error)
    hint = f"free some space, or choose another place with {option}"
    if option == STORE and path is not None and path.is_relative_to(where.absolute()):
        hint += f"; {where / 'objects'} may be deleted, the next build makes it again"
    return StorageError(f"no space left on the disk while writing to {path or where}", hint=hint)


def _no_permission(error: Exception, where: Path, option: str) -> StorageError | None:
    code = error.errno if isinstance(error, OSError) else None
    path = _path(error)
    if code not in (errno.EACCES, errno.EPERM, errno.EROFS) or not _concerns(path, where):
        return None
    return StorageError(
        f"cannot write to {path or where}: {os.strerror(code)}",
        hint=f"choose a folder you may write to, with {option}",
    )


def _file_in_the_way(error: Exception, where: Path, option: str) -> StorageError | None:
    code = error.errno if isinstance(error, OSError) else None
    return _not_a_folder(where, option) if code in (errno.ENOTDIR, errno.EEXIST) else None


def need_folder(where: Path, option: str) -> None:
    """
    Raises:
        StorageError: a folder can never be there, for a file is.
    """
    if found := _not_a_folder(where, option):
        raise found


def make_folder(where: Path, option: str) -> None:
    """
    Raises:
        StorageError: it is not there and cannot be made.
    """
    need_folder(where, option)
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"the folder {where} cannot be made: {error.strerror}",
            hint=f"choose another place with {option}",
        ) from error


def _not_a_folder(where: Path, option: str) -> StorageError | None:
    there = next((path for path in (where, *where.parents) if os.path.lexists(path)), None)
    if there is None or there.is_dir():
        return None
    kind = "a file" if there.is_file() else "no folder" if there.exists() else "a broken link"
    return StorageError(
        f"{there} is {kind}, a folder expected", hint=f"choose a folder, with {option}"
    )


def _is_full(error: Exception, where: Path) -> bool:
    """Whether a write failed for want of space, by its number or by what a library says of it."""
    code = error.errno if isinstance(error, OSError) else None
    if code is not None:
        return code in (errno.ENOSPC, errno.EDQUOT)
    if not isinstance(error, OSError | RuntimeError) and type(error).__name__ != "SafetensorError":
        return False
    try:
        free = shutil.disk_usage(where).free
    except OSError:
        free = MIN_FREE_BYTES
    return free < MIN_FREE_BYTES or DISK_FULL.search(str(error)) is not None


def _path(error: Exception) -> Path | None:
    """The file that could not be written; of two, as when one is copied, the second."""
    filename = (error.filename2 or error.filename) if isinstance(error, OSError) else None
    return Path(os.fsdecode(filename)).absolute() if isinstance(filename, str | bytes) else None


def _concerns(path: Path | None, where: Path) -> bool:
    """Whether a path is `where`, something in it, or a folder it was to be made in."""
    root = where.absolute()
    return path is None or path.is_relative_to(root) or root.is_relative_to(path)
