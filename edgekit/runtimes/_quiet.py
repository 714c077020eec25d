"""What converters and quantisers write to the terminal beside edgekit's progress is kept off it."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep their remarks off the terminal.

    sys.stdout stays as it is, for the caller's progress display writes to it meanwhile.
    """
    root, silent = logging.getLogger(), logging.NullHandler()
    level = root.manager.disable
    # Without a handler logging.warning() would install one on the terminal, for good.
    root.addHandler(silent)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        root.removeHandler(silent)


@contextlib.contextmanager
def without_nncf_bars() -> Iterator[None]:
    """Keep NNCF's progress bars off the terminal; they know no other switch."""
    from nncf.common.logging import track_progress as bars

    kinds = bars.Progress, bars.WeightedProgress

    def silent(kind: Any) -> Any:
        return lambda *columns, **options: kind(*columns, **{**options, "disable": True})

    bars.Progress, bars.WeightedProgress = map(silent, kinds)
    try:
        yield
    finally:
        bars.Progress, bars.WeightedProgress = kinds
