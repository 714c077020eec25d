"""Write what was built or measured into the history, at the cost of no build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.build_folder.reading import REPORT
from edgekit.build_folder.report import Report
from edgekit.devices.bench.report import DeviceReport
from edgekit.errors import EdgekitError
from edgekit.history.commit import Commit
from edgekit.history.database import History
from edgekit.history.entry import Recorded, of_build, of_device_report
from edgekit.printable import printable


def record_builds(
    store: Path, published: Sequence[tuple[Report, Path]], commit: Commit | None
) -> str:
    """
    Args:
        published: each report and the folder that it lies in.

    Returns:
        a line that says why they are not in the history; empty where they are.
    """
    found = [of_build(report, _shown(folder / REPORT), commit) for report, folder in published]
    return _recorded(History(store), found, "this build")


def record_device_report(store: Path, report: DeviceReport, path: Path) -> str:
    """The same of a run on a device.

    Args:
        path: of device-report.json.
    """
    history = History(store)
    try:
        digest = (report.artifact.lineage or [{}])[-1].get("digest")
        build = history.build_of(digest) if isinstance(digest, str) else None
    except EdgekitError as error:
        return _why_not("this run", error)
    return _recorded(history, [of_device_report(report, _shown(path), build)], "this run")


def _recorded(history: History, found: list[Recorded], what: str) -> str:
    try:
        if found:
            history.add(found)
    except EdgekitError as error:
        return _why_not(what, error)
    return ""


def _why_not(what: str, error: EdgekitError) -> str:
    return f"{what} is not in the history: {error.message}"


def _shown(path: Path) -> str:
    """JSON has no bytes that are no UTF-8, and a path can."""
    return printable(str(path.absolute()))
