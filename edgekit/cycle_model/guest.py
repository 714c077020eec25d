"""Runs a model twice in the emulator and marks the second run for the counting plugin.

    python guest.py job.json

The marks are arguments of a system call that nothing else makes: see counter.c. What is counted is
this thread alone. The model is opened as edgekit's agent opens it where it is timed.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import sys
from typing import Any

import numpy as np

PREPARE, START, STOP, WRITE = 0x5E01, 0x5E02, 0x5E03, 0x5E04


def main(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    spec = importlib.util.spec_from_file_location("agent", job["agent"])
    assert spec
    assert spec.loader
    agent = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agent)
    run = agent.open_model(job["model"], 1)
    image = example(job["shape"], np.dtype(job["dtype"]))
    gc.disable()  # a collection would be counted in one run and not in the next
    mark = ctypes.CDLL(None).sched_get_priority_max
    mark(PREPARE)
    run(image)
    mark(START)
    run(image)
    mark(STOP)
    mark(WRITE)


def example(shape: list[int], dtype: np.dtype[Any]) -> Any:
    """Noise: the time of the kernels does not depend on what is in an image."""
    source = np.random.default_rng(0)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return source.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return source.standard_normal(shape).astype(dtype)


if __name__ == "__main__":
    main(sys.argv[1])
