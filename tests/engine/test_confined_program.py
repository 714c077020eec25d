"""A program under limits that it does not know of."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from edgekit.engine import confined_program
from edgekit.engine.confined_program import run_program
from edgekit.engine.confinement import MEMORY, MINUTES, Confinement
from edgekit.errors import WeightsError
from tests.engine.test_confined import GIB, ends, filters, landlock

LIMITS = Confinement("m.onnx", memory=GIB // 2, seconds=30)


def run(
    folder: Path, program: str, limits: Confinement | None = LIMITS
) -> tuple[int, list[str], list[str]]:
    """Its exit code, what it said on stderr and its lines."""
    lines: list[str] = []
    code, words = run_program([sys.executable, "-c", program], folder, limits, lines.append)
    return code, words, lines


def test_its_lines_its_words_and_its_exit_code(tmp_path: Path) -> None:
    program = "import sys; print('a\\nb'); print('why', file=sys.stderr); sys.exit(3)"
    for limits in (LIMITS, None):
        assert run(tmp_path, program, limits) == (3, ["why"], ["a", "b"])


def test_it_does_not_hold_the_terminal(tmp_path: Path) -> None:
    held, users = os.openpty()
    before = os.dup(0)
    os.dup2(users, 0)
    try:
        assert run(tmp_path, "import os; print(os.isatty(0), os.read(0, 1))")[2] == ["False b''"]
    finally:
        os.dup2(before, 0)
        for each in (held, users, before):
            os.close(each)


@landlock
def test_it_writes_in_its_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    program = "import tempfile, sys; tempfile.mkdtemp(); open('{}', 'w')"
    assert run(tmp_path / "in", program.format(tmp_path / "in" / "a"))[0] == 0
    code, words, _ = run(tmp_path / "in", program.format(tmp_path / "out"))
    assert (code, words[-1].split(":")[0]) == (1, "PermissionError")
    assert not (tmp_path / "out").exists()


@filters
def test_it_opens_no_socket(tmp_path: Path) -> None:
    assert "PermissionError" in run(tmp_path, "import socket; socket.socket()")[1][-1]


def test_it_gets_no_more_memory_than_it_may_take(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"m\.onnx needs more memory, .* the 0\.5 GB") as refused:
        run(tmp_path, "bytearray(1 << 30)")
    assert f"export {MEMORY}=1" in str(refused.value.hint)
    assert run(tmp_path, "bytearray(1 << 30)", None)[0] == 0


@pytest.mark.parametrize("kind", ["DATA", "FSIZE"])
def test_it_raises_no_limit(tmp_path: Path, kind: str) -> None:
    program = f"import resource as r; r.setrlimit(r.RLIMIT_{kind}, (-1, -1))"
    assert "ValueError: not allowed to raise" in run(tmp_path, program)[1][-1]


def test_the_time_counts_from_one_line_to_the_next(tmp_path: Path) -> None:
    program = "import time\nfor i in range(4): time.sleep(0.5); print(i, flush=True)\n"
    limits = Confinement("m.onnx", memory=GIB, seconds=1.5)
    assert len(run(tmp_path, program, limits)[2]) == 4
    start = time.monotonic()
    with pytest.raises(WeightsError, match=r"m\.onnx makes no progress for 2 s") as refused:
        run(tmp_path, program + "time.sleep(60)", limits)
    assert f"export {MINUTES}=1" in str(refused.value.hint)
    assert time.monotonic() - start < 10


def test_one_that_hangs_in_silence_is_not_told_for_want_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined_program, "GRACE", 0.2)
    program = "import os, time; os.close(1); time.sleep(60)"
    with pytest.raises(WeightsError, match="closes its output and does not end"):
        run(tmp_path, program)
    assert run(tmp_path, program, None)[0] == -signal.SIGKILL


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    program = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=-3).pid)"
    assert ends(int(run(tmp_path, program)[2][0]))


@filters
def test_nothing_leaves_its_group_to_outlive_it(tmp_path: Path) -> None:
    program = "import os, time\nif os.fork(): os.wait()\nelse: os.setsid(); time.sleep(60)"
    assert "PermissionError" in run(tmp_path, program)[1][-1]


def test_ctrl_c_ends_it_where_another_thread_took_the_signal(tmp_path: Path) -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "import time; time.sleep(20)")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert time.monotonic() - start < 10
