"""Runtimes that die as they are imported on a core, with a tree that is a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.transports.emulation import imports
from edgekit.transports.emulation.imports import fault_of, import_fault
from edgekit.transports.emulation.tree import tree_path

SCRIPT = """#!/bin/sh
echo "$2" >> {said}
{end}
"""


def tree(root: Path, end: str) -> Path:
    python = tree_path("cortex-a72", root) / "commands" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text(SCRIPT.format(said=root / "said", end=end))
    python.chmod(0o755)
    return root / "said"


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        ("kill -ILL $$", "signal SIGILL"),
        ("exit 0", None),
        ("exit 1", None),
        ("exit 132", "exit code 132"),
    ],
)
def test_it_is_tried_once(tmp_path: Path, end: str, fault: str | None) -> None:
    said = tree(tmp_path, end)
    assert import_fault("cortex-a72", "onnxruntime", tmp_path) == fault
    assert import_fault("cortex-a72", "onnxruntime", tmp_path) == fault
    assert said.read_text() == "import onnxruntime\n"
    import_fault("cortex-a72", "numpy", tmp_path)
    assert said.read_text().endswith("import numpy\n")


def test_a_damaged_result_is_found_again(tmp_path: Path) -> None:
    said = tree(tmp_path, "exit 0")
    import_fault("cortex-a72", "numpy", tmp_path)
    (kept,) = (tmp_path / "imports").iterdir()
    kept.write_text("[")
    assert import_fault("cortex-a72", "numpy", tmp_path) is None
    assert said.read_text().count("import numpy") == 2


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        ("exec sleep 60", "no end within 0.2 seconds"),
        ("kill -KILL $$", "signal SIGKILL"),
        ("exit 137", "exit code 137"),
    ],
)
def test_what_a_busy_machine_may_do_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, fault: str
) -> None:
    """Too slow today, or ended for want of memory: no word about the core."""
    monkeypatch.setattr(imports, "LONGEST", 0.2)
    said = tree(tmp_path, end)
    for _ in range(2):
        assert import_fault("cortex-a72", "numpy", tmp_path) == fault
    assert said.read_text().count("import numpy") == 2


def test_other_files_are_tried_anew(tmp_path: Path) -> None:
    said, folder = tree(tmp_path, "exit 0"), tmp_path / "files"
    folder.mkdir()
    for text in ("one", "one", "two"):
        (folder / "agent.py").write_text(text)
        fault_of("cortex-a72", ["-c", "import agent"], tmp_path, folder)
    assert said.read_text().count("import agent") == 2
