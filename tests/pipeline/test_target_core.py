"""What a build refuses for its target's core before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import DeviceError, InputError
from edgekit.pipeline.target_core import need_counting, refuse_dying
from edgekit.runtimes import find_runtimes
from edgekit.spec.target import load_target
from edgekit.transports.emulation.tree import tree_path

RPI4 = load_target("rpi4")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path))
    monkeypatch.setattr("edgekit.pipeline.target_core.find_tools", lambda: None)
    monkeypatch.setattr("edgekit.pipeline.target_core.shutil.which", lambda name: name)
    return tmp_path / "emulated"


def test_a_tree_is_asked_for_by_its_command(store: Path) -> None:
    with pytest.raises(DeviceError, match="no arm64 runtimes for a cortex-a72") as caught:
        need_counting("cortex-a72", RPI4)
    assert caught.value.hint == "edgekit estimate MODEL --target rpi4 fetches them, once"


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
