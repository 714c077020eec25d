"""Intervals: what they say of themselves, and how they are made of published latencies."""

from __future__ import annotations

import pytest

from edgekit.cycle_model.accuracy import accuracy
from edgekit.transports.emulation.cpus import CPUS, CpuName
from tests.benchmarks.arm_estimate import Case, intervals


@pytest.mark.parametrize("core", CPUS)
def test_an_estimate_lies_inside_its_interval(core: CpuName) -> None:
    for spread in accuracy().cores[core].values():
        assert spread.low < 1 < spread.high
        assert "of other networks" in spread.cases


def test_a_ratio_is_as_unsure_as_the_least_sure_pairs() -> None:
    def case(runtime: str, model: str, error: float) -> Case:
        threads = 1 if runtime == "ncnn" else 4
        return Case(runtime, threads, "cortex-a72", model, published=1, estimated=error)

    ncnn = [case("ncnn", name, 0.9) for name in ("a", "b", "c", "d", "e", "f")]
    wider = [case("ncnn", "a_int8", 0.6)]
    litert = [case("litert", "a", 1), case("litert", "a_int8", 0.5)]
    found = intervals([*ncnn, *wider, *litert[:1], case("litert", "a_int8", 1)], "").cores
    spread = found["cortex-a72"]["ratio"]
    assert spread.high == pytest.approx(1.5)
    assert 1 / spread.low == pytest.approx(spread.high, rel=1e-3)
    found = intervals([*ncnn, *wider, *litert], "").cores
    assert found["cortex-a72"]["ratio"].high == pytest.approx(2)
    assert "litert, 4 threads" in found["cortex-a72"]["ratio"].cases

    latency = found["cortex-a72"]["absolute"]  # of one thread, all of them estimated too fast
    assert latency.low < 1 < latency.high == pytest.approx(1 / 0.6, rel=1e-3)
    assert latency.low == pytest.approx(0.9)
