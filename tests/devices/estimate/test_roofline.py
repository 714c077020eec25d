"""A lower bound is one: no published latency lies below it, and more work never lowers it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.devices.estimate.roofline import PEAKS, bound_of
from edgekit.evidence import Evidence
from tests.devices.estimate.workloads import workload

# Millions of multiply-accumulates and of parameters of MobileNet V1, V2, V3 large and small.
V1, V2, LARGE, SMALL = (569, 4.2), (301, 3.5), (217, 5.5), (56, 2.5)
# Milliseconds from XNNPACK's README of 2022 and Arm's course on ExecuTorch with XNNPACK.
PUBLISHED = [
    ("cortex-a72", "float32", V1, 77), ("cortex-a72", "float32", V2, 46),
    ("cortex-a72", "float32", LARGE, 40), ("cortex-a72", "float32", SMALL, 15),
    ("cortex-a72", "int8", V1, 24), ("cortex-a72", "int8", V2, 17),
    ("cortex-a53", "float32", V1, 114), ("cortex-a53", "float32", V2, 79),
    ("cortex-a53", "float32", LARGE, 67), ("cortex-a53", "float32", SMALL, 22),
    ("cortex-a53", "int8", V1, 46), ("cortex-a53", "int8", V2, 30),
    ("cortex-a76", "float32", V2, 10.89), ("cortex-a76", "int8", V2, 4.01),
]  # fmt: skip


@pytest.mark.parametrize(("cpu", "precision", "model", "ms"), PUBLISHED)
def test_published_latencies_lie_above(
    cpu: str, precision: str, model: tuple[float, float], ms: float
) -> None:
    macs, parameters = model
    size = 1 if precision == "int8" else 4
    work = workload(dense=int(macs * 1e6), weights=int(parameters * 1e6 * size),
                    precision=precision)  # fmt: skip
    found = bound_of(work, cpu, 4).lower
    assert found
    assert ms / 9 < found.value < ms
    assert found.evidence is Evidence.ESTIMATED
    assert "lower bound" in found.method


def test_arithmetic_by_hand() -> None:
    found = bound_of(workload(dense=2_400_000_000 * 32 // 1000), "cortex-a76", 1).lower
    assert found
    assert found.value == pytest.approx(1.0)
    assert "arithmetic" in found.method
    assert "1 cortex-a76 core at 2.4 GHz" in found.method


def test_weights_beyond_the_caches_must_be_read() -> None:
    found = bound_of(workload(dense=1, weights=17_100_000 + (4 << 20)), "cortex-a76", 4).lower
    assert found
    assert found.value == pytest.approx(1.0)
    assert "reading its weights" in found.method


def test_no_more_cores_than_there_are() -> None:
    work = workload(dense=10**9)
    assert bound_of(work, "cortex-a53", 64) == bound_of(work, "cortex-a53", 4)


@pytest.mark.parametrize("cpu", ["x86-64", None])
def test_an_unknown_processor_has_none(cpu: str | None) -> None:
    found = bound_of(workload(conv=5, weights=3, moved=4), cpu, 4)
    assert found.lower is None
    assert cpu is None or cpu in found.reason
    assert (found.macs, found.weight_bytes, found.activation_bytes) == (5, 3, 4)


COUNTS = st.integers(0, 10**12)


@given(
    cpu=st.sampled_from(sorted(PEAKS)),
    threads=st.integers(1, 8),
    macs=COUNTS,
    more=COUNTS,
    weights=COUNTS,
    heavier=COUNTS,
    precision=st.sampled_from(["int8", "float16", "float32"]),
)
def test_more_work_never_takes_less(
    cpu: str, threads: int, macs: int, more: int, weights: int, heavier: int, precision: str
) -> None:
    less = bound_of(workload(dense=macs, weights=weights, precision=precision), cpu, threads)
    both = workload(dense=macs + more, weights=weights + heavier, precision=precision)
    greater = bound_of(both, cpu, threads)
    alone = bound_of(both, cpu, 1)
    assert less.lower
    assert greater.lower
    assert alone.lower
    assert less.lower.value <= greater.lower.value <= alone.lower.value
