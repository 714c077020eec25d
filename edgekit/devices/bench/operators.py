"""How long each operator of a file takes on a device: which one is slow *there*."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from edgekit.agent import agent
from edgekit.build_folder.reading import read_report
from edgekit.devices.agent_answer import Job
from edgekit.devices.agent_result import AgentResult, OperatorSeconds
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bench.watched import watched_reasons
from edgekit.devices.bundle.bundle import IMAGES, Bundle
from edgekit.devices.bundle.make import variant_of
from edgekit.devices.device import Device, messages_to
from edgekit.devices.lock import held
from edgekit.engine.action import Progress
from edgekit.engine.temporary import temporary_folder
from edgekit.evaluation.operator_table import OperatorTable, profiled
from edgekit.evidence import Evidence, Validity
from edgekit.runtimes import (
    _onnx_operator_times,
    _openvino_operator_times,
    _tflite_operator_times,
    find_runtimes,
)
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.description import Operator

JOB = "operators.json"
RUNS = 50
UNKNOWN = "not known"
"""The precision of an operator that this machine's runtime does not have."""
NO_ROOFLINE = "the limit of int8 kernels was measured on the machine that built, not there"
METHODS = {
    "litert": _tflite_operator_times.METHOD,
    "onnxruntime": _onnx_operator_times.METHOD,
    "openvino": _openvino_operator_times.METHOD,
}


def with_operators(
    report: DeviceReport,
    bundle: Bundle,
    device: Device,
    noise: dict[str, float],
    progress: Progress,
) -> DeviceReport:
    """The report with the times of a file's operators on the device, with one thread.

    Args:
        noise: SQNR in dB by the name of an operator, where a build told it.

    Raises:
        EdgekitError: the file, or an operator of it by itself, cannot be run. IntegrityError:
            another file ran.
    """
    if report.evidence is not Evidence.MEASURED or bundle.info.device != "CPU":
        where = f"{report.evidence}, {bundle.info.device}"
        absent = {"operators": f"operators are timed on a device's CPU, and this is {where}"}
        return report.model_copy(update={"not_available": report.not_available | absent})
    runtime = find_runtimes()[bundle.info.runtime]()
    path = bundle.folder / bundle.info.subject.file
    with temporary_folder() as folder:
        parts = _tflite_operator_times.parts_of(path, folder) if runtime.name == "litert" else {}
        result = _run(bundle, device, list(parts.values()), folder, progress)
    found = result.operators
    assert found  # the job asks for it
    if slowed := [r.words for r in watched_reasons(result) if r.validity is Validity.INVALID]:
        absent = {"operators": f"the run on {device.name} is no result: {'; '.join(slowed)}"}
        return report.model_copy(update={"not_available": report.not_available | absent})
    rows = _rows(runtime, path, list(parts), found)
    table = _table(rows, noise, METHODS[runtime.name].format(runs=len(found.inferences)))
    absent = {name: why for name, why in report.not_available.items() if name != "operators"}
    absent["operators.roofline"] = NO_ROOFLINE
    return report.model_copy(update={"operators": table, "not_available": absent})


def _run(
    bundle: Bundle, device: Device, parts: list[Path], folder: Path, progress: Progress
) -> AgentResult:
    model = json.loads((bundle.folder / "smoke.json").read_text(encoding="utf-8"))["models"][0]
    plan = {"images": IMAGES, "files": [part.name for part in parts], "runs": RUNS}
    job = {"id": "operators", "threads": 1, "models": [model], "operators": plan}
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")
    files = {
        "agent.py": Path(agent.__file__),
        IMAGES: bundle.folder / IMAGES,
        JOB: folder / JOB,
        **{part.name: part for part in parts},
        **{name: bundle.folder / name for name in find_runtimes()[bundle.info.runtime]().files()
           if (bundle.folder / name).exists()},
        bundle.info.subject.file: bundle.folder / bundle.info.subject.file,
    }  # fmt: skip
    progress(0, 1, f"{device.name}: timing operators")
    with held(device, messages_to(progress)), device.work(files) as where:
        result = device.run_agent(where, JOB, progress, Job.model_validate(job))
    bundle.info.subject.check_ran(result.models.get(model["id"]), device.name)
    return result


def _rows(
    runtime: Runtime, path: Path, parts: list[int], found: OperatorSeconds
) -> list[tuple[Operator, float]]:
    if runtime.name == "onnxruntime":
        return _by_name(_onnx_operator_times.operators_by_node(path), found)
    operators = runtime.describe(path).operators
    if not parts:
        return _by_name({operator.name: operator for operator in operators}, found)
    seconds = _tflite_operator_times.without_calls(found.seconds, parts, len(operators))
    return list(zip(operators, seconds, strict=True))


def _by_name(known: dict[str, Operator], found: OperatorSeconds) -> list[tuple[Operator, float]]:
    """What ran there, joined with what this machine's runtime says of it; kernels of another
    processor may be fused, and named, in another way."""
    rows, nameless = [], Counter[str]()
    for name, kind, seconds in zip(found.names, found.kinds, found.seconds, strict=True):
        operator = known.get(name)
        if operator is None:  # ONNX Runtime calls it by its kind and a number
            operator = known.get(f"{kind} {nameless[kind]}")
            nameless[kind] += 1
        unknown = Operator(name=name, kind=kind, precision=UNKNOWN, heavy=False)
        rows.append((operator or unknown, seconds))
    return rows


def _table(
    rows: list[tuple[Operator, float]], noise: dict[str, float], method: str
) -> OperatorTable:
    whole = sum(seconds for _, seconds in rows) or 1.0
    found = (
        profiled(operator, seconds, whole, noise.get(operator.name)) for operator, seconds in rows
    )
    return OperatorTable(
        method=f"{method}, one thread",
        evidence=Evidence.MEASURED,
        operators=tuple(sorted(found, key=lambda one: -one.us)),
        roofline=None,
        no_roofline=NO_ROOFLINE,
        no_noise="" if noise else "no build told it",
    )


def operator_noise(artifact: Path) -> dict[str, float]:
    """SQNR in dB by operator, of what a build left; nothing where it did not tell."""
    folder = variant_of(artifact)
    report = read_report(folder.parent) if folder else None
    if folder is None or report is None or report.operators is None:
        return {}
    table = report.operators.tables.get(folder.name)
    found = table.operators if table else ()
    return {one.name: one.sqnr_db for one in found if one.sqnr_db is not None}
