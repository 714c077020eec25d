"""What this machine has free, and what a process takes of it, is what Linux tells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.scheduling.machine import available_memory, resident_memory


def test_what_is_free_is_the_least_of_machine_and_container(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 8000 kB\nMemAvailable:    4000 kB\n")
    assert available_memory(tmp_path, tmp_path) == 4_096_000
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2500000\n")
    (tmp_path / "memory.stat").write_text("anon 1\nactive_file 400000\ninactive_file 100000\n")
    assert available_memory(tmp_path, tmp_path) == 1_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(tmp_path, tmp_path) == 4_096_000


@pytest.mark.parametrize("content", ["", "MemAvailable:", "MemAvailable: many kB"])
def test_where_nobody_tells_nothing_is_known(tmp_path: Path, content: str) -> None:
    (tmp_path / "meminfo").write_text(content)
    assert available_memory(tmp_path, tmp_path) is None


def test_a_process_takes_what_its_children_take() -> None:
    code = "import sys; a = bytearray(80 << 20); print(1, flush=True); sys.stdin.read()"
    before = resident_memory(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        assert resident_memory(os.getpid()) - before > 60 << 20
        child.communicate()
    assert resident_memory(child.pid) == 0
