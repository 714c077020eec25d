"""What a build refuses for its target's core before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import DeviceError
from edgekit.pipeline.target_core import need_counting
from edgekit.spec.target import load_target

RPI4 = load_target("rpi4")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path))
    monkeypatch.setattr("edgekit.pipeline.target_core.find_tools", lambda: None)
    return tmp_path / "emulated"


def test_a_tree_is_asked_for_by_its_command(store: Path) -> None:
    with pytest.raises(DeviceError, match="no arm64 runtimes for a cortex-a72") as caught:
        need_counting("cortex-a72", RPI4)
    assert caught.value.hint == "edgekit estimate MODEL --target rpi4 fetches them, once"
