"""The pages of a build's folder, from report.json and what lies beside it."""

from __future__ import annotations

from pathlib import Path

from edgekit.build_folder.report import Report
from edgekit.report.render import Beside
from edgekit.report.thumbnails import read_thumbnails


def read_beside(folder: Path, report: Report, pictures: bool = True) -> Beside:
    """
    Args:
        pictures: thumbnails are read, where the build made some.
    """
    found, why = read_thumbnails(folder, report.thumbnails) if pictures else ({}, "")
    return Beside(pictures=found, no_pictures=why)
