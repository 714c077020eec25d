"""What a report says of the target's core."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgekit.cycle_model.cycles import Cycles
from edgekit.cycle_model.estimate import estimated
from edgekit.cycle_model.target_estimates import TargetEstimates, VariantEstimate
from edgekit.engine.store import Store
from edgekit.evidence import Evidence, Measurement
from edgekit.pipeline.run import TargetResult
from edgekit.report.core_estimates import estimates_of
from edgekit.spec.target import load_target


def cycles(count: float) -> Cycles:
    return Cycles(
        core="cortex-a76", instructions=10**7, by_class={"integer": 10**7}, cycles=count,
        accesses=1, misses=(3, 2, 1),
    )  # fmt: skip


def variant(share: float) -> VariantEstimate:
    counted = estimated(cycles(2.4e7 * share), "litert 1")
    return VariantEstimate(counted=counted, ratio=counted.ratio_to(estimated(cycles(2.4e7), "l")))


def host(value: float) -> Measurement:
    return Measurement(
        value=value, unit="ratio", evidence=Evidence.HOST, method="", low=value, high=value
    )


def test_they_disagree_where_their_intervals_are_apart() -> None:
    one = variant(0.5)
    assert one.ratio
    assert not one.disagrees(host(0.5))
    assert not one.disagrees(host(one.ratio.high or 0))
    assert one.disagrees(host(1.01 * (one.ratio.high or 0)))
    assert one.disagrees(host(0.99 * (one.ratio.low or 0)))
    assert not one.disagrees(None)


def test_what_a_person_reads() -> None:
    found = TargetEstimates(
        core="cortex-a76", board="Raspberry Pi 5", variants={"litert": variant(0.5)},
        missing={"openvino": "openvino is not emulated"}, disagreements=["litert: so and so"],
    )  # fmt: skip
    first, second, third = found.lines
    assert first.startswith("Estimated for a Raspberry Pi 5 with one thread: litert: 5.0 ms (")
    assert first.endswith("times float's")
    assert second.endswith("openvino: nothing: openvino is not emulated")
    assert third.startswith("The host and the estimate disagree")
    assert TargetEstimates.model_validate_json(found.model_dump_json()) == found


def target_of(name: str) -> TargetResult:
    plan: Any = SimpleNamespace(target=load_target(name), board=None)
    return TargetResult(cast(Any, plan))


def test_a_build_says_once_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.cycle_model.tools.missing_tools", lambda: ["qemu-user"])
    found = estimates_of(target_of("rpi5"), Store(tmp_path), print)
    assert found
    (line,) = found.lines
    assert "lacks qemu-user (on Debian or Ubuntu: sudo apt-get install qemu-user)" in line


def test_a_build_fetches_no_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path))
    monkeypatch.setattr("edgekit.pipeline.core_estimate.find_tools", lambda: None)
    found = estimates_of(target_of("rpi4"), Store(tmp_path), print)
    assert found
    assert "edgekit estimate MODEL --target rpi4 builds it, once" in found.lines[0]


@pytest.mark.parametrize("name", ["x86-cpu", "zero2w", "intel-npu", "android"])
def test_other_targets_have_none(name: str, tmp_path: Path) -> None:
    assert estimates_of(target_of(name), Store(tmp_path), print) is None
