"""TensorFlow, loaded so that torch can live beside it."""

from __future__ import annotations

import contextlib
import importlib
import threading

STREAMS = threading.RLock()
"""Held while its chatter is kept off the terminal. Of the whole process there is one output:
threads that turned it aside and back in another order would leave it turned aside for good."""


def make_way() -> None:
    """Call before TensorFlow or Keras is imported.

    triton, which torchvision loads, crashes the process where TensorFlow came first: both bring an
    LLVM of their own. The other order is fine.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("triton")
