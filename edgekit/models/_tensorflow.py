"""TensorFlow, loaded so that torch can live beside it."""

from __future__ import annotations

import contextlib
import importlib


def make_way() -> None:
    """Call before TensorFlow or Keras is imported.

    triton, which torchvision loads, crashes the process where TensorFlow came first: both bring an
    LLVM of their own. The other order is fine.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("triton")
