"""A report and a manifest, small and whole, for those who read them."""

from pathlib import Path

from edgekit.build_folder.manifest import LineageStep, Manifest, ModelFacts, Preprocessing
from edgekit.build_folder.report import DataRecord, Report, RowRecord, StepRecord
from edgekit.engine.artifact import FileEntry, sha256_of
from edgekit.evaluation.choose import Choice
from edgekit.evaluation.gates import GateResult, Gates
from edgekit.evaluation.metrics import BUSY, AccuracyChange, Latency, Validation
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement, Verdict
from edgekit.runtimes.contract.compiled_metadata import Audit, FloatOps, TrialResult
from edgekit.runtimes.contract.input_form import InputForm


def figure(value: float, unit: str = "%", width: float = 1.0) -> Measurement:
    return Measurement(
        value=value, unit=unit, evidence=Evidence.HOST, method="test", samples=100,
        low=value - width, high=value + width,
    )  # fmt: skip


def row(runtime: str, stage: str, baseline: bool = False, drop: float = 0.4) -> RowRecord:
    change = AccuracyChange(
        drop=figure(drop, "points"), lost=3, won=1, mcnemar_p=0.6, verdict=Verdict.CANNOT_TELL
    )
    latency = Latency(
        ratio=None if baseline else figure(0.57, "ratio", 0.01),
        verdict=None if baseline else Verdict.BETTER,
        threads=1, runs=300, load_ms=3, first_ms=2, p50_ms=1, p90_ms=1.2, spread_ms=0.1,
    )  # fmt: skip
    validation = Validation(
        top1=figure(88.5), recall={"<b>odd</b>": figure(90)}, agreement=figure(99),
        sqnr_db=24.0, change=None if baseline else change, size=figure(2.71, "MB", 0),
        size_ratio=None if baseline else figure(0.27, "ratio", 0), parameters=2_500_000,
        macs=95_000_000, latency=latency, environment={},
    )  # fmt: skip
    gate = GateResult(
        gate="max_accuracy_drop", limit=1, figure=figure(drop, "points"), passed=drop <= 1,
        certain=False,
    )  # fmt: skip
    audit = Audit(
        operators={"CONV_2D int8": 40}, quantized_macs=0.987, heavy=40, float_heavy=(),
        per_channel=True,
        conversions=("q1",), transposes=(), outside_delegate=("DIV divide",), delegated=40,
    )  # fmt: skip
    float_ops = FloatOps(
        operators=("divide",), plain=TrialResult(sqnr_db=None, images=64, failure="div.cc refuses"),
        keep_in_float=TrialResult(sqnr_db=21.5, images=64),
    )  # fmt: skip
    return RowRecord(
        stage=stage, variant=runtime, runtime=runtime,
        precision="float32" if baseline else "int8", baseline=baseline, last=not baseline,
        artifact="a" * 64, audit=None if baseline else audit,
        float_ops=None if baseline else float_ops, validation=validation,
        gates=[] if baseline else [gate],
    )  # fmt: skip


def sample_report() -> Report:
    rows = [
        row(r, s, s == "source")
        for r in ("litert", "onnxruntime")
        for s in ("source", "quantize", "export")
    ]
    environment = {
        "cpu": "A <script> CPU", "int8_instructions": ["avx512_vnni"], "cores": 2,
        "system": "Linux", "python": "3.11",
        "load_average": [0.1, 0.2, 0.3],
    }  # fmt: skip
    return Report(
        edgekit="0.1.0", created="2026-01-01T00:00:00+00:00", recipe="demo", arch="net",
        image_size=160, target="rpi", target_description="a board", device="CPU",
        engine=None, cpu="cortex-a76", isa="armv8-a", memory_mb=4096, threads=4,
        status="passed", broken=[], evidence=Evidence.HOST,
        processor=["rpi4: no int8 dot product"],
        not_measured=["Latency on a board"], gates=Gates(max_accuracy_drop=1.0),
        data=DataRecord(
            source="imagefolder", fingerprint="f" * 64, classes=["a", "b"],
            counts={"train": {"a": 3}}, evaluated_on="validation", unreadable=["x.png: truncated"],
        ),
        rows=rows, left_out={"litert-float16": "max_size_ratio broken"},
        remarks={"qat": "nothing to gain: 81.2 % with it"},
        use="Run `benchmark_model`:\n\n    adb push <model>\n",
        choice=Choice(
            fastest="litert", certain=False,
            ratios={"litert": figure(1, "ratio"), "onnxruntime": figure(1.02, "ratio")},
        ),
        environment=environment, libraries={"torch": "2"},
        steps=[StepRecord(id="splits", key="k" * 64, digest="d" * 64, state="new", reason="",
                          seconds=0.1)],
    )  # fmt: skip


def disturbed_report() -> Report:
    """The same, measured while other jobs were at work: the clock said 0.06, and it was wrong."""
    report = sample_report()
    wrong = InvalidMeasurement.of(figure(0.06, "ratio", 0.01), BUSY)
    busy = {"ratio": wrong, "verdict": Verdict.CANNOT_TELL, "disturbed": True}
    for one in report.rows:
        if one.validation.latency.ratio:
            latency = one.validation.latency.model_copy(update=busy)
            one.validation = one.validation.model_copy(update={"latency": latency})
    assert report.choice
    ratios = dict.fromkeys(report.choice.ratios, wrong)
    return report.model_copy(
        update={"choice": Choice(fastest="litert", certain=False, ratios=ratios)}
    )


def sample_manifest(file: Path, runtime: str) -> Manifest:
    """Of a folder that holds one file, whose artifact is in no store."""
    half = (0.5, 0.5, 0.5)
    entry = FileEntry(sha256=sha256_of(file), bytes=file.stat().st_size)
    return Manifest(
        file=file.name, files={file.name: entry}, variant=runtime, runtime=runtime, engine=runtime,
        compiled_for=None, precision="int8", quantization=None, float_ops=None, audit=None,
        input=InputForm(dtype="uint8", mean=half, std=half), output=None,
        preprocessing=Preprocessing(
            image_size=32, crop_pct=1.0, inside_the_model=True, mean=half, std=half
        ),
        classes=("a", "b"), model=ModelFacts(arch="net", parameters=1, macs=1),
        data_fingerprint="f" * 64,
        lineage=(LineageStep(id="source", key="k" * 64, digest="d" * 64),),
        libraries={}, edgekit="0.1.0", gates=(), verdict="passed",
    )  # fmt: skip
