"""From the agent's raw result to a report: figures, correctness, validity, and what is missing."""

from __future__ import annotations

from functools import reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray

from edgekit import __version__
from edgekit.devices.agent_result import AgentResult, DeviceState, Process
from edgekit.devices.bench.absent_fields import why_missing
from edgekit.devices.bench.report import (
    Correctness,
    DeviceFacts,
    DeviceReport,
    Energy,
    Identity,
    LatencyUs,
    ProtocolFacts,
    RuntimeFacts,
    Sustained,
)
from edgekit.devices.bench.validity import UNPAUSED, result_reasons, timing_reasons, verdict
from edgekit.devices.bundle.reference import FLOAT, MODEL, Reference, Setting
from edgekit.devices.bundle.subject import Subject
from edgekit.devices.engines import library_of
from edgekit.errors import DeviceError, Fault
from edgekit.evaluation.measure import Timing
from edgekit.evaluation.metrics import accuracy_of, ratio_of, share_of
from edgekit.evidence import Evidence, InvalidityCause, Measurement, Reason, Validity


def assemble(
    raw: AgentResult, subject: Subject, setting: Setting, reference: Reference
) -> DeviceReport:
    """
    Raises:
        DeviceError: scores of the device are no numbers.
    """
    evidence = Evidence.EMULATED if raw.board["emulator"] else setting.evidence
    timed = raw.protocol if evidence is not Evidence.EMULATED else None
    processes = timed[setting.threads] if timed else []
    correctness = _correctness(raw, reference, evidence, setting.device)
    reasons = [
        *result_reasons(correctness, subject.precision),
        *_other_processor(raw, setting),
    ]
    if timed:
        reasons += timing_reasons(raw, setting.protocol)
    latency = _latency(processes) if processes else None
    report = DeviceReport(
        identity=Identity(
            run=raw.id or "", started=raw.started, ended=raw.ended, edgekit=__version__,
            agent=raw.agent, evidence=evidence,
        ),
        artifact=subject,
        device=_device(raw, setting),
        runtime=_runtime(raw, setting, processes),
        protocol=_protocol(setting) if timed else None,
        latency_us=latency,
        threads_us={n: _median_us(p) for n, p in sorted(timed.items())} if timed else None,
        ratio=_ratio(raw, evidence) if timed else None,
        sustained=_sustained(raw) if timed else None,
        memory=processes[0].memory if processes else None,
        before=raw.before,
        after=raw.after,
        watched=raw.watched,
        correctness=correctness,
        energy=_energy(raw, latency, setting.threads),
        validity=verdict(reasons),
        reasons=reasons,
        not_available={},
    )  # fmt: skip
    return report.model_copy(update={"not_available": why_missing(report, setting.absent)})


def _device(raw: AgentResult, setting: Setting) -> DeviceFacts:
    environment = raw.environment
    facts = {key: environment[key] for key in ("machine", "cpu", "cores")}
    return DeviceFacts(name=setting.device, address=setting.address, **facts, **raw.board)


def _runtime(raw: AgentResult, setting: Setting, processes: list[Process]) -> RuntimeFacts:
    return RuntimeFacts(
        name=setting.runtime,
        library=library_of(raw.environment, setting.runtime) or setting.runtime,
        python=raw.environment["python"],
        threads=setting.threads,
        affinity=processes[0].affinity if processes else None,
        delegate=processes[0].delegate if processes else None,
    )


def _protocol(setting: Setting) -> ProtocolFacts:
    asked = setting.protocol
    return ProtocolFacts(
        timed_region="one inference: input set, model run, scores read; decoding and scaling of "
        "the image are not in it",
        clock="time.perf_counter, monotonic",
        batch=1,
        input_source=setting.input_source,
        input_sha256=setting.input_sha256,
        warmup_runs=asked.warmup_runs,
        warmup_seconds=asked.warmup_seconds,
        runs=asked.runs,
        seconds=asked.seconds,
        processes=asked.processes,
        pinned=asked.pin,
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
        std=float(pooled.std(ddof=1)),
        medians=medians,
        samples=samples,
    )


def _median_us(processes: list[Process]) -> float:
    return 1e6 * float(np.median([np.median(p.samples) for p in processes]))


def _ratio(raw: AgentResult, evidence: Evidence) -> Measurement | None:
    if FLOAT not in raw.latency:
        return None
    own, other = (
        Timing(entry.load, entry.first, np.asarray(entry.rounds))
        for entry in (raw.latency[MODEL], raw.latency[FLOAT])
    )
    return ratio_of(own, other, evidence)


def _sustained(raw: AgentResult) -> Sustained | None:
    """The steady state is the last minute, or the last quarter of a shorter run."""
    if raw.sustained is None:
        return None
    windows = raw.sustained.windows
    total = windows[-1][0]
    minute = min(60.0, total / 4)
    first = float(np.median([m for t, m, _ in windows if t <= minute] or [windows[0][1]]))
    steady = float(np.median([m for t, m, _ in windows if t > total - minute]))
    bits = [s.throttled for s in raw.watched if s.phase.startswith(UNPAUSED)]
    known = [b for b in bits if b is not None]
    return Sustained(
        seconds=total,
        curve_us=[(round(t, 1), round(1e6 * m, 1)) for t, m, _ in windows],
        first_minute_us=1e6 * first,
        steady_us=1e6 * steady,
        ratio=steady / first,
        throttled=reduce(or_, known) if known else None,
    )


def _energy(raw: AgentResult, latency: LatencyUs | None, threads: int) -> Energy | None:
    idle = raw.before.watts if raw.before else None
    main = f"{threads} threads, "
    busy = [s.watts for s in raw.watched if s.watts and s.phase.startswith(main) and _timed(s)]
    if not latency or idle is None or not busy:
        return None
    watts = float(np.mean(busy))
    return Energy(
        idle_watts=idle,
        busy_watts=watts,
        per_inference_joules=1e-6 * latency.p50 * watts,
        method=f"mean of {len(busy)} readings of pmic_read_adc during the timed runs, by the "
        "median latency; idle power is one reading before the run, and not taken off",
    )


def _timed(state: DeviceState) -> bool:
    return "timed" in state.phase


def _correctness(
    raw: AgentResult, reference: Reference, evidence: Evidence, device: str
) -> Correctness:
    golden = raw.golden
    if MODEL not in raw.scores or reference.host is None:
        return Correctness(golden=golden, agreement=None, top1=None, host_top1=None, change=None)
    scores, host = _numbers(raw.scores_of(MODEL), device), reference.host
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
    )


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


def _other_processor(raw: AgentResult, setting: Setting) -> list[Reason]:
    found = raw.environment["cpu"]
    known = setting.cpu and setting.cpu.startswith("cortex-")
    if not known or found == setting.cpu:
        return []
    words = f"the device is a {found}, the target says {setting.cpu}"
    return [Reason(cause=InvalidityCause.OTHER_PROCESSOR, validity=Validity.WARN, words=words)]
