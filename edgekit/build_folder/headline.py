"""What a report says first: the file to take, and the latency that counts of it (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.build_folder.report import Report, RowRecord
from edgekit.evaluation.metrics import verdict_on_ratio
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement, Verdict, believed


@dataclass(frozen=True)
class LatencyToTell:
    """The latency that counts: of a device of the user's where one told it, else the build's."""

    ratio: Measurement | InvalidMeasurement | None
    verdict: Verdict | None
    where: str
    evidence: Evidence
    disturbed: bool = False
    """Other jobs were at work where it was taken."""
    device: str = ""
    """Of the user's, that told it."""


def headline_row(report: Report) -> RowRecord:
    """The file to take; where there is none, the last one that was measured."""
    last = (row for row in report.rows if row.last and row.variant == report.chosen)
    return next(last, report.rows[-1])


def float_row(report: Report, row: RowRecord) -> RowRecord | None:
    """What a row is held against."""
    own = (r for r in report.rows if r.baseline and r.variant == row.variant)
    return next(own, None)


def latency_to_tell(report: Report, row: RowRecord) -> LatencyToTell:
    device, latency = row.on_device, row.validation.latency
    ratio = believed(device.told(device.ratio)) if device else None
    if device and ratio:
        verdict, where = verdict_on_ratio(ratio), f"on {device.device}"
        return LatencyToTell(ratio, verdict, where, device.evidence, device=device.device)
    measured = report.evidence is Evidence.MEASURED
    where = f"on this machine's {report.device}" if measured else "on the build machine"
    evidence = latency.ratio.evidence if latency.ratio else report.evidence
    return LatencyToTell(latency.ratio, latency.verdict, where, evidence, latency.disturbed)


def untimed(report: Report, row: RowRecord) -> str:
    """The target whose latency nobody has measured; empty where somebody has."""
    if latency_to_tell(report, row).evidence is Evidence.MEASURED:
        return ""
    return report.target_description.split(",")[0] or report.target
