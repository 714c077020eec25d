"""Figures of runs on devices, and ratios, as every page and terminal shows them."""

from __future__ import annotations

from edgekit.build_folder.report import OnDeviceRecord
from edgekit.evidence import Measurement, interval


def of_device(figure: Measurement | None, run: OnDeviceRecord, digits: int = 2) -> str:
    """A figure of a run on a device: a dash where the run is no result."""
    return interval(run.told(figure), digits)


def times(ratio: float, less: str, more: str, same: str) -> str:
    """A ratio to float in words, which never round a difference away.

    >>> words = "smaller", "larger", "as large as float"
    >>> times(0.25, *words), times(1.03, *words), times(1.0001, *words)
    ('4.0 times smaller', '3 % larger', 'less than 0.1 % larger')
    """
    if ratio <= 0 or ratio == 1:
        return same
    factor, word = (1 / ratio, less) if ratio < 1 else (ratio, more)
    percent = 100 * (factor - 1)
    if percent >= 5:
        return f"{factor:.1f} times {word}"
    return f"{percent:.1g} % {word}" if percent >= 0.1 else f"less than 0.1 % {word}"
