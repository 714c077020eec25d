"""What a build refuses for its target's core before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import DeviceError, InputError
from edgekit.pipeline.target_core import core_of, need_counting, refuse_dying
from edgekit.runtimes import find_runtimes
from edgekit.spec.target import load_target
from edgekit.transports.emulation.tree import tree_path

RPI4 = load_target("rpi4")


@pytest.mark.parametrize(
    ("name", "core"),
    [("rpi3", "cortex-a53"), ("rpi4", "cortex-a72"), ("rpi5", "cortex-a76"), ("rpi", "cortex-a76"),
     ("zero2w", None), ("x86-cpu", None), ("intel-npu", None)],
)  # fmt: skip
def test_whose_time_can_be_estimated(name: str, core: str | None) -> None:
    assert core_of(load_target(name)) == core


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path))
    monkeypatch.setattr("edgekit.pipeline.target_core.find_tools", lambda: None)
    monkeypatch.setattr("edgekit.pipeline.target_core.shutil.which", lambda name: name)
    return tmp_path / "emulated"


def test_a_tree_is_asked_for_by_its_command(store: Path) -> None:
    with pytest.raises(DeviceError, match="tree of cortex-a72 is not built") as caught:
        need_counting("cortex-a72", RPI4)
    assert caught.value.hint == "edgekit estimate MODEL --target rpi4 builds it, once"


def test_a_wheel_that_dies_on_the_core_is_refused(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = find_runtimes()["onnxruntime"]()
    refuse_dying(runtime, RPI4)  # there is no tree: it was not tried
    tree_path("cortex-a72", store).mkdir(parents=True)
    found = "edgekit.pipeline.target_core.import_fault"
    monkeypatch.setattr(found, lambda core, module, root: None)
    refuse_dying(runtime, RPI4)
    monkeypatch.setattr(found, lambda core, module, root: f"signal SIGILL of {module}")
    with pytest.raises(InputError, match="SIGILL of onnxruntime as it is imported on a Cortex-A72"):
        refuse_dying(runtime, RPI4)
    refuse_dying(runtime, load_target("x86-cpu"))
