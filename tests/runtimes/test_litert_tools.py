"""LiteRT's tools are kept quiet, and the output comes back."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

from edgekit.runtimes._litert_tools import library


def inside(seconds: float) -> None:
    with library("it failed"):
        time.sleep(seconds)


def test_threads_leave_the_output_where_it_was() -> None:
    """Two that overlapped, the first one ending first, left it turned aside for good."""
    before = [os.fstat(number).st_ino for number in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(inside, 0.2)
        time.sleep(0.05)
        second = pool.submit(inside, 0.3)
        first.result()
        second.result()
    assert [os.fstat(number).st_ino for number in (1, 2)] == before
