"""This machine as a device: a model that runs on it can do no harm to it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from edgekit.errors import DeviceError, Fault
from edgekit.transports.local import Local
from tests.engine.test_confined import landlock


@landlock
def test_what_runs_a_model_writes_in_its_folder_alone(tmp_path: Path) -> None:
    work = tmp_path / "my work"
    work.mkdir()
    confined = Local().confined("sh -c 'echo x > in; echo x > ../out; echo said'", str(work))
    done = Local().run(f"cd {shlex.quote(str(work))} && {confined}")
    assert (done.code, done.out) == (0, "said\n")
    assert [path.name for path in tmp_path.rglob("*")] == ["my work", "in"]


def test_an_old_kernel_that_tells_no_end_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(pid: int) -> int:
        raise OSError("Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", unknown)
    assert Local().run("echo said; exit 3").code == 3
    with pytest.raises(DeviceError, match=r"within 0\.1 seconds") as raised:
        Local().run("sleep 60", timeout=0.1)
    assert raised.value.fault is Fault.NO_ANSWER
