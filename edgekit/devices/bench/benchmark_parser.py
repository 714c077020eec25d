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
from typing import NamedTuple, TypedDict

from pydantic import ValidationError

from edgekit.devices.bench.benchmark_output import (
    Footprint,
    Output,
    Replaced,
    ReportedLatency,
)
from edgekit.engine.records import problem_of, shown
from edgekit.errors import DeviceError, EdgekitError, Fault

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
STATISTICS = {"first", "min", "max", "std", "p5", "median", "p95"}
"""Of a count= line, beside its mean."""
LAST_LINE = 300
"""Characters that a message shows of what was said last."""


def parse(text: str, device: str) -> Output:
    """
    Args:
        text: all that the tool printed, both streams.
        device: whom to name where it fails.

    Raises:
        DeviceError: it ended before its results, contradicts itself, or tells numbers that no run
            can have.
    """
    try:
        return _parse(text, device)
    except ValidationError as error:
        raise DeviceError(
            f"{device}: what benchmark_model printed is no result: {problem_of(error)}",
            hint="measure again; --debug shows all it said",
            fault=Fault.WRONG_RESULT,
        ) from EdgekitError(text.strip())


def _parse(text: str, device: str) -> Output:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    counts = _count_lines(lines)
    litert = _litert_summary(lines)
    if {"Model initialization", "Inference (avg)"} <= litert.keys():
        return _litert(lines, litert, counts, device)
    classic = _classic_summary(lines)
    if {"Init", "Inference (avg)"} <= classic.keys() and len(counts) >= 2:
        return _classic(lines, classic, counts, device)
    raise DeviceError(
        f"{device}: benchmark_model ended before its results: "
        f"{shown(lines[-1], LAST_LINE) if lines else 'nothing was said'}",
        hint="--debug shows all it said",
        fault=Fault.CRASHED,
    ) from EdgekitError(text.strip())


def _count_lines(lines: list[str]) -> list[ReportedLatency | None]:
    """The statistics of the warm-up, then those of the timed runs: without those of a profile,
    which repeat the same form for every operator."""
    return [
        found for line in lines if not any(p in line for p in PROFILE) for found in _counts(line)
    ]


def _classic_summary(lines: list[str]) -> dict[str, float]:
    """Microseconds by their names in the classic tool's last line."""
    summary = next((line for line in lines if "nference timings in us: " in line), "")
    early = {name: float(value) for name, value in EARLY.findall(summary)}
    if {"Init", "no stats"} <= early.keys():
        # Before 2020: Average inference timings in us: Warmup: 1, Init: 2, no stats: 3
        return {"Init": early["Init"], "Inference (avg)": early["no stats"]}
    return {name: float(value) for name, value in CLASSIC.findall(summary)}


def _classic(
    lines: list[str],
    summary: dict[str, float],
    counts: list[ReportedLatency | None],
    device: str,
) -> Output:
    warmup, latency = counts[0], counts[-1]
    _agree(latency, summary["Inference (avg)"], 1.0, device)
    return Output(
        tool="classic",
        init=summary["Init"],
        first=summary.get("First inference", warmup.first if warmup else None),
        warmup=warmup,
        latency=_some(latency, device),
        memory=_footprint(lines),
        **_delegates(lines),
    )


class _Average(NamedTuple):
    """A line of LiteRT's summary."""

    us: float
    runs: float


def _litert_summary(lines: list[str]) -> dict[str, _Average]:
    """By their names in LiteRT's table, in which milliseconds stand."""
    found = _matches(LITERT, lines)
    return {m[1]: _Average(1000 * float(m[2]), float(m[3] or 0)) for m in found}


def _litert_latency(summary: dict[str, _Average], phase: str) -> ReportedLatency | None:
    """What the table says of a phase, Warmup or Inference; None where it made no runs."""
    mean = summary.get(f"{phase} (avg)")
    if mean is None or not mean.runs:
        return None
    names = [name for name in ("min", "max", "std") if f"{phase} ({name})" in summary]
    rest = {name: summary[f"{phase} ({name})"].us for name in names}
    return ReportedLatency(count=mean.runs, mean=mean.us, **rest)


def _litert(
    lines: list[str],
    summary: dict[str, _Average],
    counts: list[ReportedLatency | None],
    device: str,
) -> Output:
    warmup = _litert_latency(summary, "Warmup")
    latency = _some(_litert_latency(summary, "Inference"), device)
    if len(counts) >= 2:
        # The lines of single statistics tell more: percentiles, and microseconds unrounded.
        _agree(counts[-1], latency.mean, 10.0, device)
        warmup, latency = counts[0] or warmup, counts[-1] or latency
    first = summary.get("Warmup (first)")
    memory = {m[1]: _bytes(m[2]) for m in _matches(LITERT_MEMORY, lines)}
    return Output(
        tool="litert",
        init=summary["Model initialization"].us,
        first=first.us if first else None,
        warmup=warmup,
        latency=latency,
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
    count, current = float(found[1]), values.get("curr")
    if count == 0 or current is None:
        return [None]
    if "avg" not in values:
        # All samples are the same: only the last one is printed.
        return [ReportedLatency(count=count, mean=current, min=current, max=current, std=0.0,
                        first=current, p5=current, median=current, p95=current)]  # fmt: skip
    # Later builds may tell more.
    known = {name: value for name, value in values.items() if name in STATISTICS}
    return [ReportedLatency(count=count, mean=values["avg"], **known)]


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
    _check_range(latency, device)
    return latency


def _check_range(latency: ReportedLatency, device: str) -> None:
    """
    Raises:
        DeviceError: a run is said to be faster than the fastest, or slower than the slowest.
    """
    low, high = latency.min, latency.max
    if low is None or high is None:
        return
    slack = 10.0 + 1e-4 * high  # LiteRT's table is rounded to 10 us
    for name in ("mean", "first", "p5", "median", "p95"):
        value = getattr(latency, name)
        if value is not None and not low - slack <= value <= high + slack:
            raise DeviceError(
                f"{device}: benchmark_model contradicts itself: its runs took {low:g} to {high:g} "
                f"us, and {name} is {value:g} us",
                hint="measure again; --debug shows all it said",
                fault=Fault.WRONG_RESULT,
            )


def _footprint(lines: list[str]) -> Footprint:
    delta, peak = _first(FOOTPRINT, lines), _first(PEAK, lines)
    return Footprint(
        init=_bytes(delta[1]) if delta else None,
        overall=_bytes(delta[2]) if delta else None,
        peak=_bytes(peak[1]) if peak else None,
    )


def _bytes(megabytes: str) -> float:
    """Whole; infinite, as `float` reads a number of 400 digits, is left to the model to refuse."""
    return float(f"{float(megabytes) * MEGABYTE:.0f}")


class _Delegates(TypedDict):
    """The fields of `Output` that tell of delegates."""

    replaced: list[Replaced]
    applied: list[str]
    refused: list[str]
    unknown_flags: str | None


def _delegates(lines: list[str]) -> _Delegates:
    flags = _first(UNKNOWN_FLAGS, lines)
    return {
        "replaced": [
            Replaced(delegate=m[3], nodes=float(m[1]), total=float(m[2]) if m[2] else None)
            for m in _matches(REPLACED, lines)
        ],
        "applied": [m[1] for m in _matches(APPLIED, lines)],
        # LiteRT's tool does not say which of the two it could not put the model on.
        "refused": [m[1] or m[2] or "GPU and NPU" for m in _matches(NOT_APPLIED, lines)],
        "unknown_flags": flags[1] if flags else None,
    }


def _matches(pattern: re.Pattern[str], lines: list[str]) -> list[re.Match[str]]:
    return [found for found in map(pattern.search, lines) if found]


def _first(pattern: re.Pattern[str], lines: list[str]) -> re.Match[str] | None:
    return next(iter(_matches(pattern, lines)), None)
