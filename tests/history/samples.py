"""Rows of the history, of builds and runs that are made in milliseconds."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgekit.build_folder.reading import read_report
from edgekit.build_folder.report import Report
from edgekit.evaluation.metrics import BUSY
from edgekit.evidence import InvalidMeasurement, Measurement, Verdict
from edgekit.history.commit import Commit
from edgekit.history.database import History
from edgekit.history.entry import Recorded, of_build
from tests.comparison.samples import IMAGES, write_build

COMMIT = Commit(sha="0123456789" * 4, dirty=False)


def report_of(
    folder: Path, wrong: Sequence[int] = (), images: Sequence[int] = range(IMAGES)
) -> Report:
    """Of a build that is right but for the `wrong` images.

    Args:
        folder: build/<recipe>/<target>.
    """
    found = read_report(write_build(folder, wrong=wrong, images=images))
    assert found
    return found


def disturbed(report: Report) -> Report:
    """The same, timed while other jobs were at work."""
    for row in report.rows:
        ratio = row.validation.latency.ratio
        if isinstance(ratio, Measurement):
            latency = row.validation.latency.model_copy(
                update={
                    "ratio": InvalidMeasurement.of(ratio, BUSY),
                    "verdict": Verdict.CANNOT_TELL,
                    "disturbed": True,
                }
            )
            row.validation = row.validation.model_copy(update={"latency": latency})
    return report


def recorded(report: Report, commit: Commit | None = COMMIT) -> Recorded:
    return of_build(report, "build/photos/rpi/report.json", commit)


def history_of(store: Path, *reports: Report) -> History:
    history = History(store)
    for report in reports:
        history.add([recorded(report)])
    return history


def git(folder: Path, *words: str) -> str:
    own = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *own, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
