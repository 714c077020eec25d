"""A lock that goes to whoever has waited the longest."""

from __future__ import annotations

import threading
from collections import deque


class Baton:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: deque[tuple[int, threading.Event]] = deque()
        """Threads in their order; the first one has it."""

    def take(self) -> None:
        """Wait for it; interrupted, the thread waits no longer."""
        turn = threading.Event()
        try:
            with self._lock:
                self._line.append((threading.get_ident(), turn))
                self._line[0][1].set()
            turn.wait()
        except BaseException:
            self._leave()
            raise

    def give(self) -> None:
        """Let the next one have it; nothing where this thread has not got it."""
        if self._line and self._line[0][0] == threading.get_ident():
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            own = threading.get_ident()
            self._line = deque(each for each in self._line if each[0] != own)
            if self._line:
                self._line[0][1].set()
