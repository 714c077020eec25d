"""One side of a comparison: what can be said of a built variant, and of a run on a device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekit.build_folder.manifest import Manifest
from edgekit.build_folder.reading import REPORT
from edgekit.build_folder.report import Report, RowRecord
from edgekit.comparison.record import Answer, SideRecord
from edgekit.devices.bench.report import DeviceReport
from edgekit.engine.artifact import Json, digest_of
from edgekit.evaluation.metrics import measurement
from edgekit.evaluation.predictions import JudgedImages, Predictions
from edgekit.evidence import Evidence, Status

OLDER = "an older version of edgekit wrote it, which kept no answers: build it again, unchanged"
NO_RESULT = "the run is no result"
UNLABELLED = "it has no answers to labelled images; an older edgekit kept none"

NOT_SETTINGS = {
    "schema_version", "file", "files", "beside", "classes", "audit", "lineage", "gates", "verdict",
    "scores",
}  # fmt: skip


@dataclass(frozen=True)
class JudgedImage:
    """An image, its label, and what the model says of it."""

    name: str
    label: str
    answer: Answer

    @property
    def is_right(self) -> bool:
        return self.answer.name == self.label


@dataclass(frozen=True)
class Side:
    record: SideRecord
    path: Path
    """Of a variant's folder or a device report."""
    evidence: Evidence
    """Of its accuracy."""
    classes: tuple[str, ...] | None
    """None where they are not known."""
    judged: dict[str, JudgedImage] | None
    """By the digest of the image's content; None where no answers are kept."""
    without_answers: str
    """Why there are none."""
    operators: dict[str, int] | None
    """By kind and precision; of a device report by precision alone. None where none are listed."""
    settings: dict[str, str]
    lineage: dict[str, str] = field(default_factory=dict)
    """The steps it came through, by the digest of what each made."""
    variant: str = ""
    manifest: Manifest | None = None
    """Of a built variant."""
    on_device: DeviceReport | None = None

    @property
    def name(self) -> str:
        return self.record.path

    @property
    def kind(self) -> str:
        return self.record.kind

    @cached_property
    def by_precision(self) -> dict[str, int] | None:
        if self.operators is None:
            return None
        counts: Counter[str] = Counter()
        for kind, count in self.operators.items():
            counts[kind.rpartition(" ")[2]] += count
        return dict(counts)


def of_variant(
    letter: str,
    folder: Path,
    manifest: Manifest,
    report: Report,
    row: RowRecord,
    plan: Json,
    on_device: DeviceReport | None,
) -> Side:
    """
    Args:
        row: of the report, and of this very file.
        plan: what each step was to do, by its id; none where that is not known.
    """
    top1 = row.validation.top1
    record = SideRecord(
        letter=letter,
        path=str(folder),
        kind="variant",
        arch=manifest.model.arch,
        runtime=manifest.runtime,
        precision=manifest.precision,
        where=f"{report.recipe} for {report.target}",
        sha256=manifest.files[manifest.file].sha256,
        size=row.validation.size,
        top1=top1,
        doubts=tuple(_doubts(report, row)),
    )
    return Side(
        record=record,
        path=folder,
        evidence=top1.evidence,
        classes=manifest.classes,
        judged=judged_by_digest(report.judged, row.predictions, report.data.classes),
        without_answers=f"{folder.parent / REPORT}: {OLDER}",
        operators=manifest.audit.operators if manifest.audit else None,
        settings=_settings(manifest, report) | _step_settings(manifest, plan),
        lineage={step.digest: step.id for step in manifest.lineage},
        variant=manifest.variant,
        manifest=manifest,
        on_device=on_device,
    )


def _doubts(report: Report, row: RowRecord) -> list[str]:
    broken = [str(gate) for gate in row.gates if not gate.passed]
    return [*([report.untrained] if report.status is Status.UNTRAINED else []), *broken]


def judged_by_digest(
    images: JudgedImages | None, said: Predictions | None, classes: Sequence[str]
) -> dict[str, JudgedImage] | None:
    """None where no answers are kept."""
    if images is None or said is None:
        return None
    columns = zip(
        images.digests, images.names, images.labels, said.classes, said.probabilities, strict=True
    )
    return {
        digest: JudgedImage(name, classes[label], Answer(name=classes[top], probability=share))
        for digest, name, label, top, share in columns
    }


def of_device_report(letter: str, path: Path, report: DeviceReport) -> Side:
    subject, found = report.artifact, report.correctness
    size = measurement(subject.bytes / 1e6, "MB", Evidence.MEASURED, "bytes of the model file")
    invalid = report.invalid()
    record = SideRecord(
        letter=letter,
        path=str(path),
        kind="device report",
        arch=None,
        runtime=report.runtime.name,
        precision=subject.precision,
        where=f"{report.device.name} ({report.device.cpu})",
        sha256=subject.sha256,
        size=size,
        top1=None if invalid else found.top1,
        doubts=tuple(f"{r.validity}: {r.cause}: {r.words}" for r in report.reasons),
    )
    settings = {
        "device": report.device.model_dump(mode="json", exclude={"address"}),
        "runtime": report.runtime.model_dump(mode="json"),
        "protocol": report.protocol.model_dump(mode="json") if report.protocol else {},
        "model": subject.model_dump(mode="json", include={"precision", "macs", "parameters"}),
    }
    lineage, answers, judged = subject.lineage or [], None if invalid else found.answers, None
    if answers:
        judged = judged_by_digest(answers.images, answers.predictions, answers.classes)
    return Side(
        record=record,
        path=path,
        evidence=report.evidence,
        classes=answers.classes if answers else None,
        judged=judged,
        without_answers=f"{path}: {NO_RESULT if invalid else UNLABELLED}",
        operators=subject.operators,
        settings=flat(settings),
        lineage={str(s["digest"]): str(s.get("id", "")) for s in lineage if "digest" in s},
        on_device=report,
    )


def _settings(manifest: Manifest, report: Report) -> dict[str, str]:
    told: Json = manifest.model_dump(mode="json", exclude=NOT_SETTINGS)
    told["build"] = report.model_dump(
        mode="json", include={"recipe", "target", "cpu", "isa", "threads", "gates"}
    )
    told["data"] = report.data.model_dump(mode="json", include={"source", "evaluated_on"})
    told["measured_on"] = {
        key: report.environment[key]
        for key in ("cpu", "int8_instructions", "cores")
        if key in report.environment
    }
    return flat(told)


def _step_settings(manifest: Manifest, plan: Json) -> dict[str, str]:
    """Of the steps that the model came through, by stage: `finetune.epochs`. A plan of another
    build has other keys."""
    found: dict[str, str] = {}
    names: Counter[str] = Counter()
    for step in manifest.lineage:
        planned = plan.get(step.id)
        if not isinstance(planned, dict) or digest_of(planned) != step.key:
            continue
        name = str(planned["settings"].get("stage", planned["action"]))
        names[name] += 1
        again = f"-{names[name]}" if names[name] > 1 else ""
        told = {key: value for key, value in planned["settings"].items() if key != "stage"}
        found |= flat({name + again: told})
    return found


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings by their dotted names, without those that say nothing.

    >>> flat({"preprocessing": {"fit": "crop", "mean": [0.5, 0.5]}, "float_ops": None})
    {'preprocessing.fit': 'crop', 'preprocessing.mean': '0.5, 0.5'}
    """
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= flat(inner, f"{prefix}.{key}" if prefix else str(key))
        return found
    if value is None or value == []:
        return {}
    return {prefix: ", ".join(map(str, value)) if isinstance(value, list) else str(value)}
