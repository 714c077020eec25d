"""What a report says of the target's core, of all that shipped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgekit.build_folder.target_estimates import TargetEstimates, VariantEstimate
from edgekit.cycle_model.cycles import Cycles
from edgekit.cycle_model.file_estimate import CycleEstimate, estimated
from edgekit.cycle_model.operators import OperatorShare, OperatorShares
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, EdgekitError, IntegrityError, StorageError
from edgekit.evidence import Evidence, Measurement
from edgekit.pipeline.run import RowResult, TargetResult
from edgekit.pipeline.shipped_estimates import estimates_of
from edgekit.spec.target import load_target


def cycles(count: float) -> Cycles:
    return Cycles(
        core="cortex-a76", instructions=10**7, by_class={"integer": 10**7}, cycles=count,
        accesses=1, misses=(3, 2, 1),
    )  # fmt: skip


def variant(share: float) -> VariantEstimate:
    one = OperatorShare(name="conv1", kind="CONV_2D", share=0.75, memory_share=0, instructions=9)
    shares = OperatorShares(operators=(one,), rest=0.25)
    counted = estimated(cycles(2.4e7 * share), "litert 1").model_copy(update={"operators": shares})
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
    first, shares, second, third = found.lines
    assert first.startswith("Estimated for a Raspberry Pi 5 with one thread: litert: 5 ms (")
    assert first.endswith("times float's")
    assert shares == (
        "Of litert's estimate: conv1 (CONV_2D) 75 %; 0 others 0 %, the runtime around them 25 %"
    )
    assert second == "No estimate of openvino for a Raspberry Pi 5: openvino is not emulated"
    assert third.startswith("The host and the estimate disagree")
    assert TargetEstimates.model_validate_json(found.model_dump_json()) == found


def test_a_calibrated_board_stands_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Measurement(value=6, unit="ms", evidence=Evidence.ESTIMATED, method="", low=5.5, high=7)
    boards = SimpleNamespace(models=(1,), scaled=lambda counted, *kind: {f"pi-1 {kind}": board})
    place = "edgekit.pipeline.shipped_estimates"
    monkeypatch.setattr(f"{place}.CalibratedBoards", SimpleNamespace(of_core=lambda *_: boards))
    monkeypatch.setattr(f"{place}.workload_of", lambda *_: SimpleNamespace(precision="int8"))
    monkeypatch.setattr(f"{place}.need_counting", lambda core, target: None)
    monkeypatch.setattr(f"{place}.estimate_artifact", lambda *_: estimated(cycles(2.4e7), "litert"))
    target = target_of("rpi5")
    target.rows.append(row("litert", "export", 0.5, 1))
    found = estimates_of(target, Store(tmp_path), print)
    assert found
    assert found.variants["litert"].calibrated == {"pi-1 ('litert', 'int8')": board}
    assert found.lines[0].startswith(
        "Estimated for a Raspberry Pi 5 with one thread: litert: 10 ms ("
    )
    assert found.lines[0].endswith("6 ms (5.5 to 7) as pi-1 ('litert', 'int8') was calibrated")
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
    monkeypatch.setattr("edgekit.pipeline.target_core.find_tools", lambda: None)
    found = estimates_of(target_of("rpi4"), Store(tmp_path), print)
    assert found
    assert "edgekit estimate MODEL --target rpi4 fetches them, once" in found.lines[0]


def row(variant: str, stage: str, ratio: float, cost: float) -> RowResult:
    """Of a file whose name says its cycles, in float's."""
    artifact = SimpleNamespace(cost=cost, verify=lambda: None, file=Path)
    place = SimpleNamespace(
        runtime=variant, variant=variant, stage=stage, baseline=stage == "float",
        last=stage == "export",
    )  # fmt: skip
    validation = SimpleNamespace(latency=SimpleNamespace(ratio=host(ratio)))
    return cast(RowResult, SimpleNamespace(row=place, artifact=artifact, validation=validation))


@pytest.mark.parametrize("kind", [DeviceError, IntegrityError, StorageError])
def test_each_variant_is_held_against_its_own_float_and_against_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[EdgekitError]
) -> None:
    def counted(
        artifact: Any, runtime: str, core: str, store: Store, say: Any, operators: bool
    ) -> CycleEstimate:
        if artifact.cost < 0:
            raise kind("it died")
        return estimated(cycles(2.4e7 * artifact.cost), runtime)

    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path))
    place = "edgekit.pipeline.shipped_estimates"
    monkeypatch.setattr(f"{place}.estimate_artifact", counted)
    monkeypatch.setattr(f"{place}.need_counting", lambda core, target: None)
    target = target_of("rpi5")
    target.rows += [
        row("litert", "float", 1, 1), row("litert", "export", 0.5, 0.5),
        row("onnxruntime", "float", 1, 1), row("onnxruntime", "export", 0.2, 0.9),
        row("openvino", "export", 1, 1),
    ]  # fmt: skip
    found = estimates_of(target, Store(tmp_path), print)
    assert found
    ratios = {name: one.ratio.value for name, one in found.variants.items() if one.ratio}
    assert ratios == pytest.approx({"litert": 0.5, "onnxruntime": 0.9}, rel=1e-3)
    assert found.missing == {"openvino": "openvino is not emulated"}
    (apart,) = found.disagreements
    assert apart.startswith(
        "onnxruntime: 0.20 (0.20 to 0.20) times the latency of float here, 0.90"
    )
    target.rows += [row("litert", "export", 0.5, -1)]
    again = estimates_of(target, Store(tmp_path), print)
    assert again
    assert again.missing["litert"] == "it died"


@pytest.mark.parametrize("name", ["x86-cpu", "zero2w", "intel-npu", "android"])
def test_other_targets_have_none(name: str, tmp_path: Path) -> None:
    assert estimates_of(target_of(name), Store(tmp_path), print) is None
