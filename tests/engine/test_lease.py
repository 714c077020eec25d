"""Whoever times is alone on the machine, and a process that was killed holds nobody up."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest

from edgekit.engine.lease import computing, timing
from edgekit.errors import StorageError

HELD = """
import sys, time
from edgekit.engine import lease
with getattr(lease, sys.argv[1])():
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_LEASE", str(tmp_path / "lease"))
    monkeypatch.setattr("edgekit.engine.lease.WAIT_SECONDS", 0.1)


def holder(how: str, seconds: float) -> subprocess.Popen[str]:
    """Another command, that has it."""
    found = subprocess.Popen(
        [sys.executable, "-c", HELD, how, str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert found.stdout
    assert found.stdout.readline() == "held\n"
    return found


@pytest.mark.parametrize(
    ("theirs", "ours", "waits"),
    [
        ("computing", computing, False),
        ("computing", timing, True),
        ("timing", computing, True),
        ("timing", timing, True),
    ],
)
def test_two_commands_compute_together_and_time_alone(
    theirs: str, ours: Callable[..., AbstractContextManager[None]], waits: bool
) -> None:
    other, told = holder(theirs, 1.0), []
    with ours(lambda: told.append(True)):
        assert waits or other.poll() is None
    assert len(told) == waits
    other.kill()


def test_a_killed_command_holds_nobody_up() -> None:
    other = holder("timing", 600)
    other.send_signal(signal.SIGKILL)
    with timing():
        assert other.wait() == -signal.SIGKILL


def test_two_steps_that_compute_and_come_to_time_wait_for_each_other_and_not_for_ever() -> None:
    both, inside, most = threading.Barrier(2), [0], []

    def work() -> None:
        with computing():
            both.wait()
            with timing(), timing():
                inside[0] += 1
                most.append(inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert most == [1, 1]


def test_a_process_that_was_forked_meanwhile_holds_nobody_up() -> None:
    with timing():
        if not (child := os.fork()):
            signal.pause()
    try:
        done = holder("computing", 0.0)
        assert done.wait(30) == 0
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_where_nothing_temporary_can_be_written_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEKIT_LEASE")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with timing():
        pass


@pytest.mark.parametrize("place", ["nowhere/lease", "folder", "fifo", "~no-such-user/lease"])
def test_a_place_that_is_none_is_refused_where_it_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_LEASE", place)
    with pytest.raises(StorageError, match=f"EDGEKIT_LEASE={place}: ") as caught, timing():
        pass
    assert "unset EDGEKIT_LEASE" in str(caught.value.hint)


def test_a_place_that_was_chosen_and_cannot_be_locked_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = fcntl.flock

    def flock(stream: BinaryIO, how: int) -> None:
        if how & fcntl.LOCK_NB:
            raise OSError(errno.ENOLCK, "No locks available")
        real(stream, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StorageError, match="No locks available"), timing():
        pass
    monkeypatch.delenv("EDGEKIT_LEASE")
    with timing():
        pass
