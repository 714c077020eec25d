"""A figure as every page, table and terminal shows it."""

from __future__ import annotations

from edgekit.build_folder.report import OnDeviceRecord
from edgekit.evidence import InvalidMeasurement, Measurement, Validity


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
    if run.validity is not Validity.INVALID:
        return interval(figure, digits)
    causes = (r.cause for r in run.reasons if r.validity is Validity.INVALID)
    return f"— ({next(causes, 'no result')})"
