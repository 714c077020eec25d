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
from edgekit.devices.bench.absent_fields import MEASURED_WHEN_TIMED, why_missing
from edgekit.devices.bench.android import ask, board_of, parse_heat, state_of
from edgekit.devices.bench.assemble import assemble
from edgekit.devices.bench.benchmark_model import Benchmark, BenchmarkResult, measure
from edgekit.devices.bench.phone_golden import as_the_bundle, golden_of, refuse_others, scores_of
from edgekit.devices.bench.report import (
    Correctness,
    DeviceReport,
    LatencyUs,
    ProtocolFacts,
    RuntimeFacts,
)
from edgekit.devices.bench.validity import (
    LOST_TIME,
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
from edgekit.evaluation.metrics import DISTURBED
from edgekit.evidence import InvalidityCause, Reason, Validity

LEAST_TIME = 0.5
"""Of the seconds asked: what lies between two Invoke() counts for the tool, and is not told."""
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
    refuse_others(bundle)
    model = bundle.folder / bundle.info.subject.file
    asked, processes = as_the_bundle(bundle, benchmark), bundle.info.protocol.processes
    started, results = _now(), []
    with held(device, messages_to(progress)):
        device.files.remove_stale()
        before = ask(device)
        environment, board = board_of(before)
        found = _results(bundle, device, asked, progress) if asked.tool == "classic" else {}
        # In Android Studio's emulator nothing is timed.
        for number in range(0 if board["emulator"] else processes):
            progress(number, processes, f"{device.name}: latency")
            results.append(measure(device, asked, model))
        after = ask(device)
    raw = AgentResult(
        id=bundle.id,
        agent=sha256_of(benchmark.binary),
        started=started,
        ended=_now(),
        environment=environment,
        board=board,
        before=state_of(before),
        after=state_of(after),
        **found,
    )
    heat = [*_heat("before", before["heat"]), *_heat("after", after["heat"])] if results else []
    return _report(bundle, device, raw, asked, results, heat)


def _report(
    bundle: Bundle,
    device: Device,
    raw: AgentResult,
    asked: Benchmark,
    results: list[BenchmarkResult],
    heat: list[Reason],
) -> DeviceReport:
    """What `assemble` makes of scores and of the device, and the tool's figures."""
    setting = bundle.setting(device.name, device.transport.address, device.transport.evidence)
    absent = {**setting.absent, **ABSENT}
    if not results:
        absent = {path: why for path, why in absent.items() if path not in MEASURED_WHEN_TIMED}
    if asked.tool == "litert":
        absent |= {f"correctness.{name}": NO_OUTPUTS for name in Correctness.model_fields}
    setting = replace(setting, absent=absent)
    report = assemble(raw, bundle.info.subject, setting, bundle.reference())
    update = _figures(results, asked, bundle, device.name) if results else {}
    reasons = [*report.reasons, *heat, *(_doubts(raw, results, asked) if results else ())]
    update |= {"runtime": _runtime(asked, results), "reasons": reasons}
    report = report.model_copy(update=update | {"validity": verdict(reasons)})
    return report.model_copy(update={"not_available": why_missing(report, absent)})


def _results(
    bundle: Bundle, device: Device, benchmark: Benchmark, progress: Progress
) -> dict[str, Any]:
    """The golden images first: where they are wrong, the slice would be too."""
    golden = golden_of(bundle, device, benchmark, progress)
    stream = io.BytesIO()
    np.save(stream, scores_of(IMAGES, bundle, device, benchmark, progress))
    return {"golden": golden, "scores": {MODEL: base64.b64encode(stream.getvalue()).decode()}}


def _figures(
    results: list[BenchmarkResult], asked: Benchmark, bundle: Bundle, device: str
) -> dict[str, Any]:
    memory = results[0].output.memory
    return {
        "latency_us": (latency := _latency(results, device)),
        "threads_us": {asked.threads: latency.p50},
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
            warmup_runs=asked.warmup_runs,
            warmup_seconds=asked.warmup_seconds,
            runs=asked.runs,
            seconds=asked.seconds,
            processes=len(results),
            pinned=results[0].mask is not None,
        ),
    }


def _latency(results: list[BenchmarkResult], device: str) -> LatencyUs:
    """The figures of all processes: medians of their medians and percentiles, means by runs."""
    told = [result.output.latency for result in results]
    rows = np.array([[t.median, t.p95, t.min, t.max, t.std] for t in told], float)
    if np.isnan(rows).any():
        raise DeviceError(
            f"{device}: this benchmark_model tells no median",
            hint="it was built before 2022: name a newer one",
            fault=Fault.WRONG_RESULT,
        )
    medians, p95, low, high, std = rows.T
    runs, means = np.array([t.count for t in told]), np.array([t.mean for t in told])
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


def _runtime(asked: Benchmark, results: list[BenchmarkResult]) -> RuntimeFacts:
    mask = int(results[0].mask or "0", 16) if results else 0
    return RuntimeFacts(
        name="benchmark_model",
        library=f"{asked.tool} benchmark_model, sha256 {sha256_of(asked.binary)}",
        python=None,
        threads=asked.threads,
        affinity=[core for core in range(mask.bit_length()) if mask >> core & 1] or None,
        delegate=results[0].delegate if results else None,
    )


def _heat(when: str, text: str) -> Iterator[Reason]:
    heat = parse_heat(text)
    if heat.slows_down and heat.status is not None:
        words = f"the phone's thermal status {when} the run was {heat.status.name.lower()}"
        yield Reason(cause=InvalidityCause.THROTTLED, validity=Validity.INVALID, words=words)


def _doubts(raw: AgentResult, results: list[BenchmarkResult], asked: Benchmark) -> Iterator[Reason]:
    yield from busy_before(raw)
    yield from delegate_reasons(results[0].delegate)
    for number, result in enumerate(results, 1):
        latency = result.output.latency
        seconds = 1e-6 * latency.count * latency.mean
        if latency.count < asked.runs or seconds < LEAST_TIME * asked.seconds:
            words = f"process {number} made {latency.count} runs in {seconds:.1f} s; "
            words += f"{asked.runs} and {asked.seconds:g} s were asked"
            yield Reason(cause=InvalidityCause.TOO_FEW_RUNS, validity=Validity.INVALID, words=words)
        if latency.median and latency.mean > LOST_TIME * latency.median:
            words = f"process {number} was disturbed: its mean is {latency.mean:.0f} us, its "
            words += f"median {latency.median:.0f} us"
            yield Reason(cause=InvalidityCause.BUSY, validity=Validity.INVALID, words=words)
        elif (latency.p95 or 0.0) > DISTURBED * (latency.median or np.inf):
            words = f"process {number} was disturbed: its 95th percentile is {latency.p95:.0f} us, "
            words += f"its median {latency.median:.0f} us"
            yield Reason(cause=InvalidityCause.BUSY, validity=Validity.WARN, words=words)
    yield from spread_reasons([r.output.latency.median or 0.0 for r in results])
    words = "benchmark_model runs by itself: clocks and heat are read before and after it only"
    yield Reason(cause=InvalidityCause.UNWATCHED, validity=Validity.WARN, words=words)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
