"""Builds of a few images and a run on a device, made in milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.build_folder.manifest import Manifest, TargetManifest
from edgekit.comparison.record import Answer, SideRecord
from edgekit.comparison.side import JudgedImage, Side
from edgekit.devices.agent_result import AgentResult
from edgekit.devices.bench.bench import judge
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bundle.bundle import Bundle
from edgekit.evaluation.metrics import measurement
from edgekit.evaluation.predictions import DIGEST, JudgedImages, Predictions
from edgekit.evidence import Evidence
from tests.build_folder.samples import row, sample_manifest, sample_report
from tests.devices.results import process, result_of
from tests.devices.tiny import write_model

IMAGES = 40


def digest_of(image: int) -> str:
    return hashlib.sha256(str(image).encode()).hexdigest()[:DIGEST]


def write_build(
    folder: Path,
    wrong: Sequence[int] = (),
    images: Sequence[int] = range(IMAGES),
    variants: tuple[str, ...] = ("onnxruntime",),
    answers: bool = True,
    manifest: dict[str, Any] | None = None,
) -> Path:
    """What a build leaves of a model that is right but for the `wrong` images.

    Args:
        folder: build/<recipe>/<target>.
        images: even ones are of class a, odd ones of class b.
        manifest: fields that are otherwise.
    """
    judged = JudgedImages(
        names=tuple(f"{i}.png" for i in images),
        digests=tuple(map(digest_of, images)),
        labels=tuple(i % 2 for i in images),
    )
    said = Predictions(
        classes=tuple((i + (i in wrong)) % 2 for i in images), probabilities=(0.9,) * len(images)
    )
    made: dict[str, Manifest] = {}
    rows = []
    for name in variants:
        (folder / name).mkdir(parents=True)
        model = write_model(folder / name / "model.onnx")
        fields = {"variant": name, "preprocessing": _floats(model), **(manifest or {})}
        made[name] = sample_manifest(model, "onnxruntime").model_copy(update=fields)
        written = made[name].model_dump_json()
        (folder / name / "manifest.json").write_text(written)
        of_row = {"artifact": "d" * 64, "predictions": said if answers else None}
        rows.append(row(name, "export").model_copy(update=of_row))
    report = sample_report().model_copy(
        update={
            "recipe": folder.parent.name,
            "target": folder.name,
            "judged": judged if answers else None,
            "rows": rows,
        }
    )
    (folder / "report.json").write_text(report.model_dump_json())
    whole = TargetManifest(
        recipe=report.recipe, target=report.target, choice=variants[0], left_out={}, artifacts=made
    )
    (folder / "manifest.json").write_text(whole.model_dump_json())
    return folder


def _floats(model: Path) -> Any:
    """The tiny model takes floats, of 8 x 8 pixels."""
    fed = sample_manifest(model, "onnxruntime").preprocessing.model_dump()
    return type(sample_manifest(model, "onnxruntime").preprocessing)(
        **fed | {"image_size": 8, "inside_the_model": False}
    )


def device_report(
    bundle: Bundle, seconds: Sequence[float] = (0.010, 0.0101), **changed: Any
) -> DeviceReport:
    """A run of a bundle on a board.

    Args:
        seconds: the median of each process.
        changed: of the agent's result.
    """
    spread = [(i - 9.5) * 1e-9 for i in range(20)]  # no clock gives the same again and again
    processes = [process([]) | {"samples": [s + off for off in spread]} for s in seconds]
    result = result_of(bundle) | {"protocol": {"1": processes}} | changed
    told = AgentResult.model_validate(result)
    return judge(bundle, told, "pi5", "a test", Evidence.MEASURED)


def side(letter: str, judged: dict[str, JudgedImage] | None = None, **changed: Any) -> Side:
    """A built side with nothing but its answers."""
    size = measurement(2.0, "MB", Evidence.MEASURED, "bytes of the model file")
    record = SideRecord(
        letter=letter, path=f"build/{letter}", kind="variant", arch="net", runtime="litert",
        precision="int8", where="demo for rpi", sha256=letter * 64, size=size, top1=None,
        doubts=(),
    )  # fmt: skip
    fields: dict[str, Any] = {
        "record": record, "path": Path(record.path), "evidence": Evidence.HOST,
        "classes": ("a", "b"), "judged": judged, "without_answers": "it kept none",
        "operators": {"CONV int8": 2}, "settings": {},
    }  # fmt: skip
    return Side(**fields | changed)


def judged(answers: dict[int, tuple[str, str]]) -> dict[str, JudgedImage]:
    """By digest, from image: (label, answer)."""
    return {
        digest_of(i): JudgedImage(f"{i}.png", label, Answer(name=answer, probability=0.9))
        for i, (label, answer) in answers.items()
    }
