"""A figure as every page, table and terminal shows it."""

from __future__ import annotations

from edgekit.build_folder.report import OnDeviceRecord
from edgekit.evidence import InvalidMeasurement, Measurement


def interval(figure: Measurement | InvalidMeasurement | None, digits: int = 1) -> str:
    """`82.5 (79.1 to 85.4)`, or an em dash for what was not measured, with the reason for what
    cannot be believed: `— (machine too busy)`."""
    value, ends = value_and_range(figure, digits)
    return f"{value} ({ends})" if ends else value


def value_and_range(
    figure: Measurement | InvalidMeasurement | None, digits: int = 1
) -> tuple[str, str]:
    """What every page shows of a figure, and what it shows beside it."""
    if figure is None:
        return "—", ""
    if isinstance(figure, InvalidMeasurement):
        return "—", figure.reason
    ends = "" if figure.low is None else f"{figure.low:.{digits}f} to {figure.high:.{digits}f}"
    return f"{figure.value:.{digits}f}", ends


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
