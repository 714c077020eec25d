"""A row of the history: what a report says, in a form that outlives the report's own (pure)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from edgekit.build_folder.headline import headline_row, latency_to_tell
from edgekit.build_folder.report import Report, RowRecord
from edgekit.devices.bench.report import DeviceReport, SliceAnswers
from edgekit.evaluation.metrics import measurement
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement, Validity, unless_invalid
from edgekit.history.commit import Commit

IS_FLOAT = "it is the float model"
NOT_TIMED = "it was not timed against the float model"
Figure = Measurement | InvalidMeasurement


class Entry(BaseModel):
    """A build for one target, by what became of its choice; or a run on a device."""

    # A later edgekit may know more of a row, and this one reads what it knows.
    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    recorded: str
    """When, by this machine's clock: a board without one of its own tells 1970."""
    kind: Literal["build", "device report"]
    recipe: str | None
    """None of a device report whose build is not in the history; so are target and commit."""
    target: str | None
    device: str | None
    """Where it ran; None where the machine that builds stood in for it."""
    arch: str | None
    variant: str
    """Of a device report the model's file."""
    runtime: str
    precision: str
    status: str
    """Passed, untrained or broken; of a device report ok, warn or invalid."""
    reasons: tuple[str, ...]
    """What is broken, or makes the run doubtful."""
    commit: Commit | None
    edgekit: str
    """The version that made it."""
    report: str
    """Where the report was written; a later build may have written another there."""
    top1: Measurement | None
    latency_ratio: Figure | None
    """Against the float model."""
    no_ratio: str
    """Why there is none; empty where there is."""
    median: Figure | None = None
    """Milliseconds on the device; None where none ran it."""
    size: Measurement
    sha256: str | None = None
    """Of the model's file; of a device report alone."""

    @property
    def series(self) -> tuple[str, str, str | None, str | None]:
        """Rows of one series are of one thing at several times.

        A file's name says little, model.tflite for one: without its build a run is in one series
        with those of the very same file.
        """
        where = self.device if self.kind == "device report" else None
        return self.kind, self.recipe or self.sha256 or self.variant, self.target, where


class Recorded(NamedTuple):
    """All that is kept of a report."""

    entry: Entry
    answers: SliceAnswers | None
    """Image by image, which pairs it with another; None where the report has none."""
    artifacts: tuple[str, ...] = ()
    """Digests of what the build made: a device report names the one that it ran."""


def of_build(report: Report, path: str, commit: Commit | None) -> Recorded:
    """
    Args:
        report: of at least one row.
        path: of report.json.
    """
    row = headline_row(report)
    device = row.on_device
    ratio = latency_to_tell(report, row).ratio
    entry = Entry(
        **_now(),
        kind="build",
        recipe=report.recipe,
        target=report.target,
        device=device.device if device else None,
        arch=report.arch,
        variant=row.variant,
        runtime=row.runtime,
        precision=row.precision,
        status=report.status,
        reasons=tuple(report.broken),
        commit=commit,
        edgekit=report.edgekit,
        report=path,
        top1=row.validation.top1,
        latency_ratio=ratio,
        no_ratio="" if ratio else IS_FLOAT if row.baseline else NOT_TIMED,
        median=device.told(device.median) if device else row.validation.latency.median,
        size=row.validation.size,
    )
    return Recorded(entry, _answers(report, row), tuple({row.artifact for row in report.rows}))


def of_device_report(report: DeviceReport, path: str, build: Entry | None) -> Recorded:
    """
    Args:
        path: of device-report.json.
        build: that the model came from, where it is known.
    """
    subject, found = report.artifact, report.correctness
    invalid = report.validity is Validity.INVALID
    ratio, median = (
        unless_invalid(figure, report.validity, report.reasons)
        for figure in (report.ratio, report.median)
    )
    entry = Entry(
        **_now(),
        kind="device report",
        recipe=build.recipe if build else None,
        target=build.target if build else None,
        device=report.device.name,
        arch=build.arch if build else None,
        variant=subject.file,
        runtime=report.runtime.name,
        precision=subject.precision,
        status=report.validity,
        reasons=tuple(reason.words for reason in report.reasons),
        commit=build.commit if build else None,
        edgekit=report.identity.edgekit,
        report=path,
        top1=None if invalid else found.top1,
        latency_ratio=ratio,
        no_ratio="" if ratio else report.not_available.get("ratio", NOT_TIMED),
        median=median,
        size=measurement(subject.bytes / 1e6, "MB", Evidence.MEASURED, "bytes of the model file"),
        sha256=subject.sha256,
    )
    return Recorded(entry, None if invalid else found.answers)


def _now() -> dict[str, str]:
    return {"id": uuid.uuid4().hex, "recorded": datetime.now(UTC).isoformat(timespec="seconds")}


def _answers(report: Report, row: RowRecord) -> SliceAnswers | None:
    if report.judged is None or row.predictions is None:
        return None
    return SliceAnswers(
        classes=tuple(report.data.classes), images=report.judged, predictions=row.predictions
    )
