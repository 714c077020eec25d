"""Whoever times has the machine for itself: no other step of edgekit runs beside, whichever command
it is of.

Two files that all of a user's commands lock: one is held, shared by steps that compute and alone by
one that times; the other is the turn, so that whoever waits to be alone is next. The kernel lets go
of both when a process ends, however it ends. `$EDGEKIT_LEASE` names another place for them: that
has to be one, while nobody waits where the usual one cannot be written.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

from edgekit.engine.user_paths import at_home
from edgekit.errors import StorageError

VARIABLE = "EDGEKIT_LEASE"
WAIT_SECONDS = 5.0
"""Before anybody is told that a step waits."""
_PAUSE = 0.05

_held: ContextVar[_Lease | None] = ContextVar("lease", default=None)


class _Lease:
    def __init__(self, stream: BinaryIO, turn: BinaryIO) -> None:
        self._stream, self._turn = stream, turn
        self.is_alone = False

    def take(self, alone: bool, waiting: Callable[[], None]) -> None:
        # Let go first: two that share it and both want to be alone would wait for each other.
        fcntl.flock(self._stream, fcntl.LOCK_UN)
        _lock(self._turn, fcntl.LOCK_EX, waiting)
        try:
            _lock(self._stream, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, waiting)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)
        self.is_alone = alone

    def leave(self) -> None:
        """A process that was forked meanwhile would hold it as long as it lives."""
        fcntl.flock(self._stream, fcntl.LOCK_UN)


def lease_file() -> Path:
    """
    Raises:
        OSError: there is no place for what is temporary.
    """
    if chosen := os.environ.get(VARIABLE):
        return at_home(Path(chosen))
    return Path(tempfile.gettempdir()) / f"edgekit-{os.getuid()}.lease"


@contextmanager
def computing(waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While a step computes. It waits while another one times.

    Args:
        waiting: called once where it waits for long.

    Raises:
        StorageError: `$EDGEKIT_LEASE` names no file that can be written and locked.
    """
    with _holding(False, waiting):
        yield


@contextmanager
def timing(waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While something is timed on this machine. It waits until the others have ended their steps;
    within a step that computes, that step lets them go first."""
    with _holding(True, waiting):
        yield


@contextmanager
def _holding(alone: bool, waiting: Callable[[], None]) -> Iterator[None]:
    held = _held.get()
    if held:
        if not alone or held.is_alone:
            yield
            return
        held.take(True, waiting)
        try:
            yield
        finally:
            held.take(False, waiting)
        return
    try:
        path = lease_file()
        stream, turn = open_lock(path), open_lock(path.with_name(f"{path.name}-turn"))
    except (OSError, ValueError) as error:
        if chosen := os.environ.get(VARIABLE):
            raise _not_there(chosen, error) from error
        yield
        return
    with stream, turn:
        lease = _Lease(stream, turn)
        lease.take(alone, waiting)
        token = _held.set(lease)
        try:
            yield
        finally:
            _held.reset(token)
            lease.leave()


def _not_there(chosen: str, error: Exception) -> StorageError:
    why = getattr(error, "strerror", None) or error
    return StorageError(
        f"{VARIABLE}={chosen}: {why}, so that timings could not wait for other steps",
        hint=f"name a file in a folder that you may write to, or unset {VARIABLE}",
    )


def open_lock(path: Path) -> BinaryIO:
    """A file to lock, which need not be there yet."""
    # The folder may be everybody's: nothing that another user has put there is followed.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "r+b")


def _lock(stream: BinaryIO, how: int, waiting: Callable[[], None]) -> None:
    end: float | None = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(stream, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError as error:  # a file system without locks
            if chosen := os.environ.get(VARIABLE):
                raise _not_there(chosen, error) from error
            return
        if end and time.monotonic() > end:
            waiting()
            end = None
