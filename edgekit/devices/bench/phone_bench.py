"""The report of a bundle on an Android device without Python: by way of benchmark_model."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from edgekit.devices.agent_result import AgentResult, Memory
from edgekit.devices.bench.absent_fields import MEASURED_WHEN_TIMED, absence_reasons
from edgekit.devices.bench.android import ask, board_of, environment_of, parse_heat, state_of
from edgekit.devices.bench.assemble import assemble
from edgekit.devices.bench.benchmark_model import Benchmark, BenchmarkResult, measure
from edgekit.devices.bench.benchmark_output import ReportedLatency
from edgekit.devices.bench.phone_golden import golden_of, need_tflite, scores_of, with_protocol
from edgekit.devices.bench.report import (
    Correctness,
    DeviceReport,
    LatencyUs,
    ProtocolFacts,
    RuntimeFacts,
)
from edgekit.devices.bench.validity import (
    MAX_MEAN,
    busy_before,
    delegate_reasons,
    spread_reasons,
    verdict,
)
from edgekit.devices.bundle.bundle import IMAGES, Bundle
from edgekit.devices.bundle.reference import MODEL
from edgekit.devices.device import Device, messages_to
from edgekit.devices.lock import held
from edgekit.engine.action import Progress
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError, Fault
from edgekit.evaluation.timing import DISTURBED
from edgekit.evidence import InvalidityCause, Reason

MIN_SECONDS = 0.5
"""Of the seconds requested: what lies between two Invoke() counts for the tool, and is not told."""
TOOL = "benchmark_model tells statistics only"
NO_OUTPUTS = "LiteRT's benchmark_model gives no outputs: accuracy needs the classic one"
ABSENT = {
    "runtime.python": "no Python runs there",
    "runtime.affinity": "the clocks of its cores are hidden, so it was bound to none",
    "runtime.delegate.nodes_delegated": "this build does not tell nodes by delegate",
    "runtime.delegate.nodes_total": "this build does not tell nodes by delegate",
    "protocol.input_sha256": "what is timed is random, and the tool does not tell it",
    "latency_us.first": "this build of benchmark_model does not tell it",
    "latency_us.p90": f"{TOOL}: of the percentiles, the 5th, the 50th and the 95th",
    "latency_us.p99": f"{TOOL}: of the percentiles, the 5th, the 50th and the 95th",
    "latency_us.samples": TOOL,
    "ratio": "benchmark_model runs one model",
    "sustained": "benchmark_model tells no curve over time",
    "memory.loaded": "this build of benchmark_model does not tell it",
    "memory.peak": "this build of benchmark_model does not tell it",
    "watched": "benchmark_model runs by itself: the device is asked before and after",
    "energy": "a phone does not tell the power of its processor",
    "before.temperature_c": "`dumpsys thermalservice` tells no sensor of the processor",
    "after.temperature_c": "`dumpsys thermalservice` tells no sensor of the processor",
    "before.throttled": "the Raspberry Pi's bits; a phone has its thermal status",
    "after.throttled": "the Raspberry Pi's bits; a phone has its thermal status",
}


def bench_phone(
    bundle: Bundle, device: Device, benchmark: Benchmark, progress: Progress
) -> DeviceReport:
    """Measure a bundle of a TFLite file: its protocol's processes, its golden images, its slice.

    Args:
        benchmark: the binary and the engine; threads, runs and seconds are the bundle's.

    Raises:
        InputError: the bundle's model is no TFLite file, or the binary no benchmark_model.
        DeviceError: it does not run there, or the engine asked for executes nothing.
    """
    need_tflite(bundle)
    model = bundle.folder / bundle.info.subject.file
    requested, processes = with_protocol(bundle, benchmark), bundle.info.protocol.processes
    started, results = _now(), []
    with held(device, messages_to(progress)):
        device.files.remove_stale()
        before = ask(device)
        board = board_of(before)
        found = _results(bundle, device, requested, progress) if requested.tool == "classic" else {}
        # In Android Studio's emulator nothing is timed.
        for number in range(0 if board.emulator else processes):
            progress(number, processes, f"{device.name}: latency")
            results.append(measure(device, requested, model))
        after = ask(device)
    agent_result = AgentResult(
        id=bundle.id,
        agent=sha256_of(benchmark.binary),
        started=started,
        ended=_now(),
        environment=environment_of(before),
        board=board,
        before=state_of(before),
        after=state_of(after),
        **found,
    )
    heat = [*_heat("before", before["heat"]), *_heat("after", after["heat"])] if results else []
    return _report(bundle, device, agent_result, requested, results, heat)


def _report(
    bundle: Bundle,
    device: Device,
    agent_result: AgentResult,
    requested: Benchmark,
    results: list[BenchmarkResult],
    heat: list[Reason],
) -> DeviceReport:
    """What `assemble` makes of scores and of the device, and the tool's figures."""
    setting = bundle.setting(device.name, device.transport.address, device.transport.evidence)
    absent = {**setting.absent, **ABSENT}
    if not results:
        absent = {path: why for path, why in absent.items() if path not in MEASURED_WHEN_TIMED}
    if requested.tool == "litert":
        absent |= {f"correctness.{name}": NO_OUTPUTS for name in Correctness.model_fields}
    setting = replace(setting, absent=absent)
    report = assemble(agent_result, bundle.info.subject, setting, bundle.reference())
    update = _figures(results, requested, bundle, device.name) if results else {}
    reasons = [
        *report.reasons,
        *heat,
        *(_doubts(agent_result, results, requested) if results else ()),
    ]
    update |= {"runtime": _runtime(requested, results), "reasons": reasons}
    report = report.model_copy(update=update | {"validity": verdict(reasons)})
    return report.model_copy(update={"not_available": absence_reasons(report, absent)})


def _results(
    bundle: Bundle, device: Device, benchmark: Benchmark, progress: Progress
) -> dict[str, Any]:
    """The golden images first: where they are wrong, the slice would be too."""
    golden = golden_of(bundle, device, benchmark, progress)
    stream = io.BytesIO()
    np.save(stream, scores_of(IMAGES, bundle, device, benchmark, progress))
    return {"golden": golden, "scores": {MODEL: base64.b64encode(stream.getvalue()).decode()}}


def _figures(
    results: list[BenchmarkResult], requested: Benchmark, bundle: Bundle, device: str
) -> dict[str, Any]:
    memory = results[0].output.memory
    return {
        "latency_us": (latency := _latency(results, device)),
        "threads_us": {requested.threads: latency.p50},
        "memory": Memory(
            baseline=0,
            loaded=memory.init,
            peak=memory.peak or memory.overall,
            method="benchmark_model: bytes above those of the tool as it started",
        ),
        "protocol": ProtocolFacts(
            timed_region="one Invoke(): inputs are not set, outputs are not read",
            clock="benchmark_model's, in microseconds",
            batch=1,
            input_source="random, by benchmark_model; scores are of " + bundle.info.input_source,
            input_sha256=None,
            warmup_runs=requested.warmup_runs,
            warmup_seconds=requested.warmup_seconds,
            runs=requested.runs,
            seconds=requested.seconds,
            processes=len(results),
            pinned=results[0].mask is not None,
        ),
    }


def _latency(results: list[BenchmarkResult], device: str) -> LatencyUs:
    """The figures of all processes: medians of their medians and percentiles, means by runs."""
    latencies = [result.output.latency for result in results]
    rows = np.array([[t.median, t.p95, t.min, t.max, t.std] for t in latencies], float)
    if np.isnan(rows).any():
        raise DeviceError(
            f"{device}: this benchmark_model tells no median",
            hint="it was built before 2022: name a newer one",
            fault=Fault.WRONG_RESULT,
        )
    medians, p95, low, high, std = rows.T
    runs, means = np.array([t.count for t in latencies]), np.array([t.mean for t in latencies])
    mean = float(np.average(means, weights=runs))
    variance = np.average(std**2 + (means - mean) ** 2, weights=runs)
    firsts = [r.output.first for r in results if r.output.first is not None]
    return LatencyUs(
        load=float(np.median([r.output.init for r in results])),
        first=float(np.median(firsts)) if firsts else None,
        min=float(low.min()),
        mean=mean,
        p50=float(np.median(medians)),
        p90=None,
        p95=float(np.median(p95)),
        p99=None,
        max=float(high.max()),
        std=float(np.sqrt(variance)),
        medians=medians.tolist(),
        samples=[],
    )


def _runtime(requested: Benchmark, results: list[BenchmarkResult]) -> RuntimeFacts:
    mask = int(results[0].mask or "0", 16) if results else 0
    return RuntimeFacts(
        name="benchmark_model",
        library=f"{requested.tool} benchmark_model, sha256 {sha256_of(requested.binary)}",
        python=None,
        threads=requested.threads,
        affinity=[core for core in range(mask.bit_length()) if mask >> core & 1] or None,
        delegate=results[0].delegate if results else None,
    )


def _heat(when: str, text: str) -> Iterator[Reason]:
    heat = parse_heat(text)
    if heat.slows_down and heat.status is not None:
        status = heat.status.name.lower()
        yield Reason.invalid(
            InvalidityCause.THROTTLED, f"the phone's thermal status {when} the run was {status}"
        )


def _doubts(
    agent_result: AgentResult, results: list[BenchmarkResult], requested: Benchmark
) -> Iterator[Reason]:
    yield from busy_before(agent_result)
    yield from delegate_reasons(results[0].delegate)
    for number, result in enumerate(results, 1):
        yield from _too_few_runs(number, result.output.latency, requested)
        yield from _disturbed(number, result.output.latency)
    yield from spread_reasons([r.output.latency.median or 0.0 for r in results])
    yield Reason.warning(
        InvalidityCause.UNWATCHED,
        "benchmark_model runs by itself: clocks and heat are read before and after it only",
    )


def _too_few_runs(number: int, latency: ReportedLatency, requested: Benchmark) -> Iterator[Reason]:
    seconds = 1e-6 * latency.count * latency.mean
    if latency.count < requested.runs or seconds < MIN_SECONDS * requested.seconds:
        yield Reason.invalid(
            InvalidityCause.TOO_FEW_RUNS,
            f"process {number} made {latency.count} runs in {seconds:.1f} s; {requested.runs} and "
            f"{requested.seconds:g} s were asked",
        )


def _disturbed(number: int, latency: ReportedLatency) -> Iterator[Reason]:
    median = latency.median or np.inf
    if latency.mean > MAX_MEAN * median:
        yield Reason.invalid(
            InvalidityCause.BUSY,
            f"process {number} was disturbed: its mean is {latency.mean:.0f} us, its median "
            f"{median:.0f} us",
        )
    elif latency.p95 is not None and latency.p95 > DISTURBED * median:
        # The rule is for the 90th percentile, which the tool does not tell: a warning only.
        yield Reason.warning(
            InvalidityCause.BUSY,
            f"process {number} was disturbed: its 95th percentile is {latency.p95:.0f} us, its "
            f"median {median:.0f} us",
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
