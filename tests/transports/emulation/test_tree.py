import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.errors import DeviceError, Fault
from edgekit.transports.emulation import tree
from edgekit.transports.emulation.tree import build_tree, need_programs, tree_path


def write_program(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a program in front of the machine's own."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return lambda name, body: write_program(folder, name, body)


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "PROGRAMS", {"no-such-emulator": "some-package", "sh": "dash"})
    with pytest.raises(DeviceError, match="needs no-such-emulator,") as caught:
        need_programs()
    assert caught.value.fault is Fault.MISSING_PROGRAM
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("sudo apt-get install some-package")


def test_a_build_that_fails_leaves_nothing(
    programs: Callable[[str, str], None], tmp_path: Path
) -> None:
    programs(tree.QEMU, "exit 0")
    programs("dpkg", "exit 0")
    programs("debootstrap", 'for last; do :; done; mkdir -p "$last"; echo "E: no mirror"; exit 1')
    with pytest.raises(DeviceError, match="E: no mirror") as caught:
        build_tree("cortex-a76", tmp_path / "emulated", lambda line: None)
    assert "debootstrap --download-only" in (caught.value.hint or "")
    assert [path.name for path in (tmp_path / "emulated").iterdir()] == [".lock"]


def test_what_a_killed_build_left_is_not_taken_for_a_tree(
    programs: Callable[[str, str], None], tmp_path: Path
) -> None:
    for name in (tree.QEMU, "dpkg"):
        programs(name, "exit 0")
    programs("debootstrap", "exit 1")
    base = tmp_path / re.sub("^cortex-a76", "base", tree_path("cortex-a76", tmp_path).name)
    (base.with_name(f"{base.name}.part") / "usr").mkdir(parents=True)
    with pytest.raises(DeviceError):
        build_tree("cortex-a76", tmp_path, lambda line: None)
    assert not list(tmp_path.glob("*.part"))
    assert not tree_path("cortex-a76", tmp_path).exists()


def test_another_version_of_a_runtime_is_another_tree(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = tree_path("cortex-a72", tmp_path)
    assert now == tree_path("cortex-a72", tmp_path)
    monkeypatch.setattr(tree, "version", lambda name: "99.1")
    assert tree_path("cortex-a72", tmp_path) != now
