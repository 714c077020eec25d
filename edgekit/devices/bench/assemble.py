"""From the agent's result to a report: figures, correctness, validity, and what is absent."""

from __future__ import annotations

from functools import reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray

from edgekit import __version__
from edgekit.devices.agent_result import AgentResult, Process
from edgekit.devices.bench.absent_fields import absence_reasons
from edgekit.devices.bench.energy import energy_of
from edgekit.devices.bench.plausibility import RAN_THERE, READ_FROM_FILE, implausible
from edgekit.devices.bench.report import (
    Correctness,
    DeviceFacts,
    DeviceReport,
    LatencyUs,
    ProtocolFacts,
    RunIdentity,
    RuntimeFacts,
    SliceAnswers,
    Sustained,
)
from edgekit.devices.bench.validity import result_reasons, timing_reasons, verdict
from edgekit.devices.bench.watched import UNPAUSED
from edgekit.devices.bundle.bundled_model import Subject
from edgekit.devices.bundle.reference import BY_STICK, FLOAT, MODEL, Reference, Setting
from edgekit.devices.engines import library_of
from edgekit.errors import DeviceError, Fault
from edgekit.evaluation.metrics import accuracy_of, ratio_of, share_of
from edgekit.evaluation.predictions import predictions_of
from edgekit.evaluation.score_meaning import meaning_of
from edgekit.evaluation.timing import Timing
from edgekit.evidence import Evidence, InvalidityCause, Measurement, Reason, Validity


def assemble(
    result: AgentResult, subject: Subject, setting: Setting, reference: Reference
) -> DeviceReport:
    """
    Raises:
        DeviceError: scores of the device are no numbers.
    """
    evidence = Evidence.EMULATED if result.board.emulator else setting.evidence
    correctness = _correctness(result, reference, evidence, setting.device)
    report = DeviceReport(
        identity=RunIdentity(
            run=result.id or "", started=result.started, ended=result.ended, edgekit=__version__,
            agent=result.agent, evidence=evidence,
            proof=READ_FROM_FILE if setting.address == BY_STICK else RAN_THERE,
        ),
        artifact=subject,
        device=_device(result, setting),
        runtime=_runtime(result, setting, None),
        protocol=None,
        latency_us=None,
        threads_us=None,
        ratio=None,
        sustained=None,
        memory=None,
        watching=None,
        before=result.before,
        after=result.after,
        watched=result.watched,
        correctness=correctness,
        energy=None,
        validity=Validity.OK,
        reasons=[
            *result_reasons(correctness, subject.precision), *_other_processor(result, setting)
        ],
        not_available={},
    )  # fmt: skip
    # An emulator's milliseconds are those of this machine.
    if result.protocol and evidence is not Evidence.EMULATED:
        report = _with_timings(report, result, setting)
    report = report.model_copy(update={"validity": verdict(report.reasons)})
    return report.model_copy(update={"not_available": absence_reasons(report, setting.absent)})


def _with_timings(report: DeviceReport, result: AgentResult, setting: Setting) -> DeviceReport:
    processes = result.protocol[setting.threads]
    latency = _latency(processes)
    medians = {n: _median_us(each) for n, each in sorted(result.protocol.items())}
    return report.model_copy(
        update={
            "runtime": _runtime(result, setting, processes[0]),
            "protocol": _protocol(setting),
            "latency_us": latency,
            "threads_us": medians,
            "ratio": _ratio(result, report.evidence),
            "sustained": _sustained(result),
            "memory": processes[0].memory,
            "watching": result.watching,
            "energy": energy_of(result, latency, setting.threads),
            "reasons": [
                *report.reasons,
                *timing_reasons(result, setting.protocol),
                *implausible(result, report.artifact, setting.threads),
            ],
        }
    )


def _device(result: AgentResult, setting: Setting) -> DeviceFacts:
    there = result.environment
    return DeviceFacts(
        name=setting.device,
        address=setting.address,
        machine=there.machine,
        cpu=there.cpu,
        cores=there.cores or 0,
        **result.board.model_dump(),
    )


def _runtime(result: AgentResult, setting: Setting, process: Process | None) -> RuntimeFacts:
    there, runtime = result.environment, setting.runtime
    return RuntimeFacts(
        name=runtime,
        library=library_of(there.versions, runtime, there.litert) or runtime,
        python=there.python,
        threads=setting.threads,
        affinity=process.affinity if process else None,
        delegate=process.delegate if process else None,
    )


def _protocol(setting: Setting) -> ProtocolFacts:
    requested = setting.protocol
    return ProtocolFacts(
        timed_region="one inference: input set, model run, scores read; decoding and scaling of "
        "the image are not in it",
        clock="time.perf_counter, monotonic",
        batch=1,
        input_source=setting.input_source,
        input_sha256=setting.input_sha256,
        warmup_runs=requested.warmup_runs,
        warmup_seconds=requested.warmup_seconds,
        runs=requested.runs,
        seconds=requested.seconds,
        processes=requested.processes,
        pinned=requested.pin,
    )


def _latency(processes: list[Process]) -> LatencyUs:
    samples = [[round(1e6 * s, 1) for s in p.samples] for p in processes]
    pooled = np.concatenate([np.asarray(s) for s in samples])
    medians = [float(np.median(s)) for s in samples]
    p90, p95, p99 = (float(p) for p in np.percentile(pooled, (90, 95, 99)))
    return LatencyUs(
        load=1e6 * float(np.median([p.load for p in processes])),
        first=1e6 * float(np.median([p.first for p in processes])),
        min=float(pooled.min()),
        mean=float(pooled.mean()),
        p50=float(np.median(medians)),
        p90=p90,
        p95=p95,
        p99=p99 if pooled.size >= 1000 else None,
        max=float(pooled.max()),
        std=float(pooled.std(ddof=1)) if pooled.size > 1 else 0.0,
        medians=medians,
        samples=samples,
    )


def _median_us(processes: list[Process]) -> float:
    return 1e6 * float(np.median([np.median(p.samples) for p in processes]))


def _ratio(result: AgentResult, evidence: Evidence) -> Measurement | None:
    if FLOAT not in result.latency:
        return None
    own, other = (
        Timing(entry.load, entry.first, np.asarray(entry.rounds))
        for entry in (result.latency[MODEL], result.latency[FLOAT])
    )
    return ratio_of(own, other, evidence)


def _sustained(result: AgentResult) -> Sustained | None:
    """The steady state is the last minute, or the last quarter of a shorter run."""
    if result.sustained is None:
        return None
    windows = result.sustained.windows
    total = windows[-1][0]
    minute = min(60.0, total / 4)
    begin = [seconds for ended, seconds, _ in windows if ended <= minute]
    end = [seconds for ended, seconds, _ in windows if ended > total - minute]
    # A model so slow that no window ended in the first minute: the first window stands for it.
    first, steady = float(np.median(begin or [windows[0][1]])), float(np.median(end))
    return Sustained(
        seconds=total,
        curve_us=[(round(ended, 1), round(1e6 * seconds, 1)) for ended, seconds, _ in windows],
        first_minute_us=1e6 * first,
        steady_us=1e6 * steady,
        ratio=steady / first,
        throttled=_throttle_bits(result),
    )


def _throttle_bits(result: AgentResult) -> int | None:
    """All that were set in the run without a pause; None where the device has none."""
    states = [state for state in result.watched if state.phase.startswith(UNPAUSED)]
    known = [state.throttled for state in states if state.throttled is not None]
    return reduce(or_, known) if known else None


def _correctness(
    result: AgentResult, reference: Reference, evidence: Evidence, device: str
) -> Correctness:
    golden = result.golden
    if MODEL not in result.scores:
        return Correctness(golden=golden, agreement=None, top1=None, host_top1=None, change=None)
    scores, host = _numbers(result.scores_of(MODEL), device), reference.host
    if reference.labels is None:
        same = int(np.sum(scores.argmax(axis=1) == host.argmax(axis=1)))
        agreement = share_of(same, len(host), evidence)
        return Correctness(
            golden=golden, agreement=agreement, top1=None, host_top1=None, change=None
        )
    labels = reference.labels
    found = accuracy_of(scores, host, labels, reference.classes, False, evidence)
    right = int(np.sum(host.argmax(axis=1) == labels))
    return Correctness(
        golden=golden,
        agreement=found["agreement"],
        top1=found["top1"],
        host_top1=share_of(right, len(labels), Evidence.HOST),
        change=found["change"],
        answers=_answers(scores, reference),
    )


def _answers(scores: NDArray[np.float32], reference: Reference) -> SliceAnswers | None:
    if reference.images is None or scores.shape[1] > len(reference.classes):
        return None
    said = predictions_of(scores, meaning_of(reference.host))
    return SliceAnswers(classes=reference.classes, images=reference.images, predictions=said)


def _numbers(scores: NDArray[np.float32], device: str) -> NDArray[np.float32]:
    """The class of the largest score would be that of the first NaN."""
    bad = int(np.sum(~np.isfinite(scores).all(axis=1)))
    if bad:
        raise DeviceError(
            f"{device}: scores of {bad} of {len(scores)} images are NaN or infinite",
            hint="the runtime there cannot compute this model: try another version of it, another "
            "engine or another variant",
            fault=Fault.WRONG_RESULT,
        )
    return scores


def _other_processor(result: AgentResult, setting: Setting) -> list[Reason]:
    found = result.environment.cpu
    known = setting.cpu and setting.cpu.startswith("cortex-")
    if not known or found == setting.cpu:
        return []
    message = f"the device is a {found}, the target says {setting.cpu}"
    return [Reason.warning(InvalidityCause.OTHER_PROCESSOR, message)]
