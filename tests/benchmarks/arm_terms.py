"""Terms that the estimate could have beside its own: which of them hold on other latencies.

    python -m tests.benchmarks.arm_terms

Takes what `arm_estimate` has counted, and counts nothing itself. A term's price is fitted to
ncnn's published latencies of one board; each network (with its int8 twin) is predicted by a fit
without it. What is fitted to ncnn is then judged on another board or another runtime, where there
are any: published_unused.json has latencies that nothing was chosen by.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from edgekit.cycle_model.boards import memories_of
from edgekit.engine.store import default_store
from edgekit.runtimes.litert import LiteRT
from edgekit.transports.emulation.cpus import CPUS, CpuName
from tests.benchmarks.arm_estimate import HERE, PUBLISHED, Case, _cases, _cycles, _int8_pairs

UNUSED = HERE / "published_unused.json"
UNTIMED = ("Input", "Split", "Noop", "Dropout")
"""ncnn's layers that do nothing."""
HEADER = "latency | ratio of two models | int8 over float | prices |"
RULE = "|---|--:|--:|--:|---|"
Vector = NDArray[np.float64]
ALONE, OWN = "core and DRAM alone", "own prices for core and DRAM"
Feature = Callable[["Counted"], float]


@dataclass(frozen=True)
class Counted:
    """Milliseconds of one model on one board, apart."""

    case: Case
    core: float
    memory: float
    second: float
    """Of lines from the second cache, were each to cost one cycle."""
    operators: float
    """Thousands: at one millisecond each, one microsecond is their price."""

    @property
    def own(self) -> float:
        return self.core / self.case.threads + self.memory


TERMS: dict[str, tuple[bool, tuple[Feature, ...]]] = {
    ALONE: (True, ()),
    "+ cycles a line from the second cache": (True, (lambda c: c.second,)),
    "+ microseconds an operator": (True, (lambda c: c.operators,)),
    "+ a share of the core's time": (True, (lambda c: c.core,)),
    "own prices for core and DRAM": (
        False,
        (lambda c: c.core / c.case.threads, lambda c: c.memory),
    ),
}
"""Whether the estimate stays, and what is added to it at a fitted price."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=default_store() / "cycles-published")
    cache = parser.parse_args().cache
    tables = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    cases = [case for name, table in tables.items() for case in _cases(name, table, cache)]
    used = [_counted(case, cache, memories_of(case.core).ghz) for case in cases]
    boards = {}
    for name, board in json.loads(UNUSED.read_text(encoding="utf-8"))["boards"].items():
        core, ghz = board["core"], board["ghz"]
        own = [
            Case("ncnn", board["threads"], core, m, ms, 0) for m, ms in board["latencies"].items()
        ]
        boards[name] = [_counted(case, cache, ghz) for case in own]
    alone = {core: _of(used, "ncnn", core) for core in CPUS}
    xnnpack = {core: _of(used, "litert", core) for core in CPUS}
    parts = (
        _as_shipped(cases, boards["Raspberry Pi Zero 2 W"]),
        _one_thread(alone),
        _elsewhere(alone["cortex-a53"], boards["Raspberry Pi Zero 2 W"], xnnpack["cortex-a53"]),
        _four_threads(boards, xnnpack),
    )
    for line in chain.from_iterable(parts):
        print(line)


def _of(counted: Sequence[Counted], runtime: str, core: CpuName) -> list[Counted]:
    return [one for one in counted if (one.case.runtime, one.case.core) == (runtime, core)]


def _counted(case: Case, cache: Path, ghz: float) -> Counted:
    cycles = _cycles(case.runtime, case.model, case.core, cache)
    board = memories_of(case.core).model_copy(update={"line_cycles": 0.0})
    return Counted(
        case=case,
        core=cycles.cycles / ghz / 1e6,
        memory=board.milliseconds(cycles.misses),
        second=cycles.misses[0] / ghz / 1e6,
        operators=_operators(case, cache) / 1e3,
    )


def _operators(case: Case, cache: Path) -> int:
    if case.runtime == "litert":
        return len(LiteRT().describe(cache / f"{case.model}.tflite").operators)
    layers = (cache / f"{case.model}.param").read_text(encoding="utf-8").splitlines()[2:]
    return sum(line.split()[0] not in UNTIMED for line in layers if line.strip())


def _as_shipped(cases: Sequence[Case], never_used: Sequence[Counted]) -> Iterator[str]:
    """Pairs of the three boards taken together, and a board of which nothing was ever looked at."""
    boards = [[c for c in cases if (c.runtime, c.core) == ("ncnn", core)] for core in CPUS]
    ratios, twins = (
        _off([error for own in boards for error in of(own)]) for of in (_ratios, _int8)
    )
    yield f"| ncnn, one thread, as edgekit estimates | {HEADER}"
    yield RULE
    yield f"| the three boards | | {ratios} | {twins} | |"
    yield _row("Raspberry Pi Zero 2 W", never_used, _own(never_used))


def _one_thread(alone: dict[CpuName, list[Counted]]) -> Iterator[str]:
    yield f"\n| ncnn, one thread, each network left out of its fit | {HEADER}"
    yield RULE
    for core, own in alone.items():
        for term in TERMS:
            predicted, prices = _left_out(own, term)
            if not TERMS[term][1] or np.any(prices):  # else no fit asks for the term
                yield _row(f"{memories_of(core).board}: {term}", own, predicted, prices)


def _elsewhere(
    fitted: Sequence[Counted], zero: Sequence[Counted], xnnpack: Sequence[Counted]
) -> Iterator[str]:
    yield f"\n| fitted to ncnn on the Raspberry Pi 3B+, one thread | {HEADER}"
    yield RULE
    for where, own in (("ncnn, Zero 2 W", zero), ("XNNPACK, 3B+, 4 threads", xnnpack)):
        for term in (ALONE, OWN):
            price = _prices(fitted, term)
            yield _row(f"{where}: {term}", own, _predicted(own, term, price), [price])


def _four_threads(
    boards: dict[str, list[Counted]], xnnpack: dict[CpuName, list[Counted]]
) -> Iterator[str]:
    yield f"\n| four threads, fitted to ncnn; its networks left out of their fits | {HEADER}"
    yield RULE
    for name in ("Raspberry Pi 3B+", "Raspberry Pi 4B"):
        own = boards[name]
        other = xnnpack[own[0].case.core]
        for term in TERMS:
            predicted, prices = _left_out(own, term)
            yield _row(f"{name}, ncnn: {term}", own, predicted, prices)
            elsewhere = _predicted(other, term, _prices(own, term))
            yield _row(f"{name}, XNNPACK: {term}", other, elsewhere)


def _own(counted: Sequence[Counted]) -> Vector:
    return np.array([c.own for c in counted])


def _predicted(counted: Sequence[Counted], term: str, prices: Vector) -> Vector:
    stays, features = TERMS[term]
    found = _own(counted) if stays else np.zeros(len(counted))
    for feature, price in zip(features, prices, strict=True):
        found = found + price * np.array([feature(c) for c in counted])
    return found


def _prices(counted: Sequence[Counted], term: str) -> Vector:
    """Least squares of relative errors, none below zero."""
    stays, features = TERMS[term]
    if not features:
        return np.zeros(0)
    published = np.array([c.case.published for c in counted])
    rows = np.array([[feature(c) for feature in features] for c in counted])
    rest = 1 - _own(counted) / published if stays else np.ones(len(counted))
    found: Vector = nnls(rows / published[:, None], rest)[0]
    return found


def _left_out(counted: Sequence[Counted], term: str) -> tuple[Vector, list[Vector]]:
    """Each network, in int8 and in float, by a fit to the others; and the prices of each fit."""
    networks = [c.case.model.removesuffix("_int8") for c in counted]
    predicted, prices = np.zeros(len(counted)), []
    for network in dict.fromkeys(networks):
        others = [c for c, name in zip(counted, networks, strict=True) if name != network]
        prices.append(_prices(others, term))
        for place, name in enumerate(networks):
            if name == network:
                predicted[place] = _predicted([counted[place]], term, prices[-1])[0]
    return predicted, prices


def _as_cases(counted: Sequence[Counted], predicted: Vector) -> list[Case]:
    return [replace(c.case, estimated=float(p)) for c, p in zip(counted, predicted, strict=True)]


def _ratios(cases: list[Case]) -> list[float]:
    return [a.error / b.error for a, b in combinations(cases, 2)]


def _int8(cases: list[Case]) -> list[float]:
    return [a.error / b.error for a, b in _int8_pairs(cases)]


def _row(
    what: str, counted: Sequence[Counted], predicted: Vector, prices: Sequence[Vector] = ()
) -> str:
    cases = _as_cases(counted, predicted)
    cells = _off([case.error for case in cases]), _off(_ratios(cases)), _off(_int8(cases))
    return f"| {what} | {' | '.join(cells)} | {_told(prices)} |"


def _off(errors: list[float]) -> str:
    """Percent that they are off, by a factor: the median, nine in ten, the largest."""
    off = [100 * (max(error, 1 / error) - 1) for error in errors]
    return f"{np.median(off):.0f}, {np.quantile(off, 0.9):.0f}, {max(off):.0f}"


def _told(prices: Sequence[Vector]) -> str:
    """From the lowest to the highest of the fits."""
    if not prices or not prices[0].size:
        return ""
    low, high = np.min(prices, axis=0), np.max(prices, axis=0)
    return "; ".join(f"{a:.3g} to {b:.3g}" for a, b in zip(low, high, strict=True))


if __name__ == "__main__":
    main()
