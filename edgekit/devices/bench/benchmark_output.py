"""Read what Android's benchmark_model prints: the classic tool and the LiteRT one of the same name.

Formats as in tflite/tools/benchmark/benchmark_model.cc, benchmark_tflite_model.cc,
tsl/util/stats_calculator.h and litert/tools/benchmark_litert_model.h. What matters in them:
 1. the first `count=` line is the warm-up's;
 2. numbers carry exponents from seven digits on: avg=1.23457e+06;
 3. equal samples print `count=N curr=X(all same)` and nothing else, or percentiles after it;
 4. builds of before 2022 have no p5, median and p95;
 5. logcat and the loggers put a prefix before each line;
 6. the classic tool prints microseconds, the LiteRT one milliseconds;
 7. a delegate may be "explicitly applied" and execute nothing, or a part.
"""

from __future__ import annotations

import re
from typing import Literal

from edgekit.devices.agent_result import Delegate, ReportPart
from edgekit.errors import DeviceError, EdgekitError, Fault

Tool = Literal["classic", "litert"]
NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
COUNT = re.compile(r"(?:^|[\s\]:])count=(\d+)(.*)$")
PAIR = re.compile(rf"(\w+)=({NUMBER})")
PROFILE = ("Timings (microseconds)", "Memory (bytes)")
"""Before the count= of an operator profile."""
CLASSIC = re.compile(rf"(Init|First inference|Warmup \(avg\)|Inference \(avg\)): ({NUMBER})")
EARLY = re.compile(rf"(Init|Warmup|no stats): ({NUMBER})")
LITERT = re.compile(
    r"(Model initialization|Warmup \(first\)|Warmup \(avg\)|Inference \((?:avg|min|max|std)\)):"
    rf" +({NUMBER})(?: ms)?(?: \((\d+) runs\))?\s*$"
)
FOOTPRINT = re.compile(rf"Memory footprint delta .*\(MB\): init=({NUMBER}) overall=({NUMBER})")
LITERT_MEMORY = re.compile(rf"(Init footprint|Overall footprint|Peak memory): +({NUMBER}) MB")
PEAK = re.compile(rf"[Pp]eak memory footprint \(MB\).*?[:=] ?({NUMBER})")
APPLIED = re.compile(
    r"Explicitly applied (\S+) delegate, and the model graph will be (completely|partially)"
)
NOT_APPLIED = re.compile(
    r"Though (\S+) delegate is explicitly applied, the model graph will not be|"
    r"Failed to apply (\S+) delegate|(Disallowed CPU fallback detected)"
)
REPLACED = re.compile(r"Replacing (\d+)(?: out of (\d+))? node\(s\) with delegate \((.+?)\) node")
UNKNOWN_FLAGS = re.compile(r"Unconsumed cmdline flags: (.*)$")
MEGABYTE = 1 << 20


class ReportedLatency(ReportPart):
    """Microseconds of single inferences; None for what this build of the tool does not tell."""

    count: int
    mean: float
    min: float | None = None
    max: float | None = None
    std: float | None = None
    first: float | None = None
    p5: float | None = None
    median: float | None = None
    p95: float | None = None


class Footprint(ReportPart):
    """Bytes above those of the tool as it started."""

    init: int | None = None
    overall: int | None = None
    peak: int | None = None


class Replaced(ReportPart):
    """Nodes that a delegate took."""

    delegate: str
    nodes: int
    total: int | None


class Output(ReportPart):
    tool: Tool
    init: float
    """Microseconds to make the model ready."""
    first: float | None
    warmup: ReportedLatency | None
    latency: ReportedLatency
    memory: Footprint
    replaced: list[Replaced]
    applied: list[str]
    """Delegates that execute the model or a part of it, by the tool's word."""
    refused: list[str]
    """Delegates that were asked for and execute nothing."""
    unknown_flags: str | None
    """What was asked in flags that this build does not know."""

    def delegate(self, asked: str) -> Delegate:
        """What was asked to run the model, and what does.

        Args:
            asked: CPU, GPU or NPU. The classic tool's CPU is XNNPACK, which is asked for by a flag.
        """
        mine = [part for part in self.replaced if ("XNNPack" in part.delegate) == (asked == "CPU")]
        name = "XNNPACK" if asked == "CPU" and self.tool == "classic" else asked
        told = "XNNPACK" if asked == "CPU" else asked
        refused = any(told in each for each in self.refused)
        refused |= told.lower() in (self.unknown_flags or "").lower()
        there = bool(mine) or any(told in each for each in self.applied)
        # XNNPACK is a part of the tool: builds that say nothing of it run it.
        ran = name if not refused and (there or asked == "CPU") else "CPU"
        totals = [part.total for part in mine]
        return Delegate(
            asked=name,
            applied=ran,
            nodes_delegated=sum(part.nodes for part in mine) if mine else None,
            nodes_total=sum(t or 0 for t in totals) if totals and None not in totals else None,
        )


def parse(text: str, device: str) -> Output:
    """
    Args:
        text: all that the tool printed, both streams.
        device: whom to name where it fails.

    Raises:
        DeviceError: it ended before its results, or contradicts itself.
    """
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    counts = [c for line in lines if not any(p in line for p in PROFILE) for c in _counts(line)]
    litert = {m[1]: (1000 * float(m[2]), m[3]) for m in map(LITERT.search, lines) if m}
    if {"Model initialization", "Inference (avg)"} <= litert.keys():
        return _litert(lines, litert, counts, device)
    summary = next((line for line in lines if "nference timings in us: " in line), "")
    told = {name: float(value) for name, value in CLASSIC.findall(summary)}
    if early := dict(EARLY.findall(summary)) if "no stats" in summary else None:
        # Before 2020: Average inference timings in us: Warmup: 1, Init: 2, no stats: 3
        told = {"Init": float(early["Init"]), "Inference (avg)": float(early["no stats"])}
    if "Inference (avg)" not in told or len(counts) < 2:
        last = lines[-1] if lines else "nothing was said"
        raise DeviceError(
            f"{device}: benchmark_model ended before its results: {last}",
            hint="--debug shows all it said",
            fault=Fault.CRASHED,
        ) from EdgekitError(text.strip())
    warmup, latency = counts[0], counts[-1]
    _agree(latency, told["Inference (avg)"], 1.0, device)
    return Output(
        tool="classic",
        init=told["Init"],
        first=told.get("First inference", warmup.first if warmup else None),
        warmup=warmup,
        latency=_some(latency, device),
        memory=_footprint(lines),
        **_delegates(lines),
    )


def _litert(
    lines: list[str],
    told: dict[str, tuple[float, str | None]],
    counts: list[ReportedLatency | None],
    device: str,
) -> Output:
    def latency(kind: str) -> ReportedLatency | None:
        mean, runs = told.get(f"{kind} (avg)", (0.0, None))
        if not runs or runs == "0":
            return None
        rest = {name: told[f"{kind} ({name})"][0] for name in ("min", "max", "std")
                if f"{kind} ({name})" in told}  # fmt: skip
        return ReportedLatency(count=int(runs), mean=mean, **rest)

    summary = _some(latency("Inference"), device)
    if len(counts) >= 2:
        # The lines of single statistics tell more: percentiles, and microseconds unrounded.
        _agree(counts[-1], summary.mean, 10.0, device)
        summary = counts[-1] or summary
    memory = {m[1]: _bytes(m[2]) for m in map(LITERT_MEMORY.search, lines) if m}
    return Output(
        tool="litert",
        init=told["Model initialization"][0],
        first=told["Warmup (first)"][0] if "Warmup (first)" in told else None,
        warmup=(counts[0] if len(counts) >= 2 else None) or latency("Warmup"),
        latency=summary,
        memory=Footprint(
            init=memory.get("Init footprint"),
            overall=memory.get("Overall footprint"),
            peak=memory.get("Peak memory"),
        ),
        **_delegates(lines),
    )


def _counts(line: str) -> list[ReportedLatency | None]:
    """The statistics of a line, if it is one; None for those of no runs."""
    found = COUNT.search(line)
    if not found:
        return []
    values = {name: float(value) for name, value in PAIR.findall(found[2])}
    count, current = int(found[1]), values.pop("curr", None)
    if count == 0 or current is None:
        return [None]
    if "avg" not in values:
        # All samples are the same: only the last one is printed.
        return [ReportedLatency(count=count, mean=current, min=current, max=current, std=0.0,
                        first=current, p5=current, median=current, p95=current)]  # fmt: skip
    return [ReportedLatency(count=count, mean=values.pop("avg"), **values)]


def _agree(latency: ReportedLatency | None, mean: float, rounding: float, device: str) -> None:
    if latency and abs(latency.mean - mean) > rounding + 1e-4 * mean:
        raise DeviceError(
            f"{device}: benchmark_model contradicts itself: its last count= line has a mean of "
            f"{latency.mean:g} us, its summary {mean:g} us",
            hint="two runs in one output? keep that of one",
            fault=Fault.WRONG_RESULT,
        )


def _some(latency: ReportedLatency | None, device: str) -> ReportedLatency:
    if latency is None:
        raise DeviceError(f"{device}: benchmark_model made no timed run", fault=Fault.WRONG_RESULT)
    return latency


def _footprint(lines: list[str]) -> Footprint:
    delta = next((m for m in map(FOOTPRINT.search, lines) if m), None)
    peak = next((m for m in map(PEAK.search, lines) if m), None)
    return Footprint(
        init=_bytes(delta[1]) if delta else None,
        overall=_bytes(delta[2]) if delta else None,
        peak=_bytes(peak[1]) if peak else None,
    )


def _bytes(megabytes: str) -> int:
    return round(float(megabytes) * MEGABYTE)


def _delegates(lines: list[str]) -> dict[str, object]:
    refused = [m for m in map(NOT_APPLIED.search, lines) if m]
    flags = next((m[1] for m in map(UNKNOWN_FLAGS.search, lines) if m), None)
    return {
        "replaced": [
            Replaced(delegate=m[3], nodes=int(m[1]), total=int(m[2]) if m[2] else None)
            for m in map(REPLACED.search, lines)
            if m
        ],
        "applied": [m[1] for m in map(APPLIED.search, lines) if m],
        "refused": [m[1] or m[2] or "GPU and NPU" for m in refused],
        "unknown_flags": flags,
    }
