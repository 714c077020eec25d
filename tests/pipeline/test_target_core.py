"""What a stage times on: this machine, a device, or a core by estimate where it asks for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from edgekit.cycle_model.estimated_core import EstimatedCore
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.evaluation.measure import HERE, Host
from edgekit.pipeline import target_core
from edgekit.pipeline.target_core import machine_of
from edgekit.runtimes import find_runtimes
from edgekit.spec.target import load_target
from edgekit.stages.base import Stage
from edgekit.stages.prune import Prune
from edgekit.stages.quantize import Quantize

ESTIMATED = Prune(keep=0.6, runtime="litert", on="target")


@pytest.fixture(autouse=True)
def _all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_core, "need_counting", lambda core, target: None)


def of(stage: Stage, *names: str, machine: Any = HERE) -> Any:
    targets = [load_target(name) for name in names]
    return machine_of(stage, targets, machine, Store(Path()))


def test_estimates_are_for_the_targets_core_where_they_are_asked_for() -> None:
    for stage in (ESTIMATED, Quantize(on="target")):
        found = of(stage, "rpi4")
        assert isinstance(found, EstimatedCore)
        assert found.core == "cortex-a72"
    for stage in (Prune(keep=0.6, runtime="litert"), Quantize(on="target", mixed="none")):
        assert of(stage, "rpi4") is HERE


def test_a_device_goes_before_an_estimate() -> None:
    board = cast(Any, Host(name="pi4"))
    assert of(ESTIMATED, "rpi4", machine=board) is board


@pytest.mark.parametrize("names", [("rpi3", "rpi4"), ("x86-cpu",), ("rpi5", "x86-cpu")])
def test_one_core_that_is_modelled_is_asked_for(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"prune.on: `target` asks for estimates on one core"):
        of(ESTIMATED, *names)


def test_the_key_says_what_was_estimated() -> None:
    core = EstimatedCore("cortex-a72", Store(Path()))
    assert "on" not in Prune(keep=0.6, runtime="litert").settings()
    assert ESTIMATED.timed_on(core).settings()["machine"]["estimated"] == "cortex-a72"


def test_a_runtime_that_is_not_emulated_is_refused_before_anything_runs() -> None:
    openvino = find_runtimes()["openvino"]
    with pytest.raises(InputError, match=r"prune.on: openvino is not emulated"):
        Prune(keep=0.6, runtime="openvino", on="target").check_targets([openvino])
