"""The pages of a build's folder, from report.json and what lies beside it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from edgekit.build_folder.reading import ON_DEVICE
from edgekit.build_folder.report import Report
from edgekit.comparison.locate import read_device_report
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bench.validate_on_device import DEVICE_REPORT
from edgekit.errors import InputError
from edgekit.report.render import Beside
from edgekit.report.thumbnails import read_thumbnails


def read_beside(folder: Path, report: Report, pictures: bool = True) -> Beside:
    """
    Args:
        pictures: thumbnails are read, where the build made some.
    """
    found, why = read_thumbnails(folder, report.thumbnails) if pictures else ({}, "")
    return Beside(pictures=found, no_pictures=why, runs=_runs(folder, report))


def _runs(folder: Path, report: Report) -> dict[str, DeviceReport]:
    """Those that can be read: the page says what the report says of the others, too."""
    found = {}
    names = {f"{row.variant}-{row.stage}" for row in report.rows if row.on_device}
    for path in sorted((folder / ON_DEVICE).glob(f"*/{DEVICE_REPORT}")):
        if path.parent.name in names:
            with suppress(InputError):
                found[path.parent.name] = read_device_report(path)
    return found
