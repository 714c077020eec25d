"""The agent on a device: its crashes, and devices that restart under it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.devices import shell
from edgekit.devices.agent_answer import Job, JobModel
from edgekit.devices.device import Device
from edgekit.errors import DeviceError, Fault
from edgekit.evaluation.measure import message_of
from edgekit.transports.base import Completed
from edgekit.transports.fake import Fake

JOB = Job(models=(JobModel(id="model"),))


@pytest.fixture
def way(tmp_path: Path) -> Fake:
    return Fake(root=str(tmp_path / "it's a device"))


def test_a_device_that_restarts_is_waited_for(
    way: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is not there for a while, and then it is another boot."""
    monkeypatch.setattr(shell, "RETURN_PAUSE", 0.0)
    away = [3]

    class Slow(Fake):
        def open(self) -> None:
            if "agent.py" in " ".join(self.commands) and away[0]:
                away[0] -= 1
                raise DeviceError("not there", fault=Fault.UNREACHABLE)
            super().open()

    told: list[str] = []
    board = Slow(root=way.root, python="/bin/true", reboot_before="agent.py")
    with Device("pi5", board) as device, pytest.raises(DeviceError) as raised:
        device.run_agent(str(tmp_path), "job.json", lambda *words: told.append(words[2]), JOB)
    assert raised.value.fault is Fault.REBOOTED
    assert away == [0]
    assert told == ["pi5: it is silent; waiting 90 s for it"]


def test_a_device_that_stays_away(
    way: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shell, "RETURN_PAUSE", 0.0)
    monkeypatch.setattr(shell, "RETURN_SECONDS", 0.0)
    with Device("pi5", way) as device:
        way.cut_before = "agent.py"
        monkeypatch.setattr(Fake, "open", lambda _: way.run("true"))
        with pytest.raises(DeviceError) as raised:
            device.run_agent(str(tmp_path), "job.json", lambda *_: None, JOB)
    assert raised.value.fault is Fault.CONNECTION_LOST


@pytest.mark.parametrize(
    "line", ["{ no JSON", "[]", '{"done": 1}', "3", '{"stage": "timed", "done": 0, "total": 1']
)
def test_lines_that_are_no_message(line: str) -> None:
    assert message_of(line) is None


def test_a_crash_keeps_all_that_was_said(way: Fake, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho first; echo middle >&2; echo last >&2; exit 139\n")
    python.chmod(0o755)
    way.python = str(python)
    with Device("pi5", way) as device, pytest.raises(DeviceError, match=r"SIGSEGV.*last") as raised:
        device.run_agent(str(tmp_path), "job.json", lambda *_: None, JOB)
    assert str(raised.value.__cause__) == "first\nmiddle\nlast"


def test_a_command_that_fails_is_quoted(way: Fake) -> None:
    with Device("pi5", way) as device, pytest.raises(DeviceError, match="ended with 3: alas"):
        device.sh("echo alas >&2; exit 3")
    with Device("pi5", way) as device, pytest.raises(DeviceError) as raised:
        device.sh("cat /etc/passwd > /dev/full")
    assert raised.value.fault is Fault.FULL


@pytest.mark.parametrize(
    ("said", "found"),
    [("aarch64 8\n", "aarch64"), ("aarch64 4\n", "armv7l"), ("armv7l 4\n", "armv7l")],
)
def test_a_python_of_32_bits_on_a_kernel_of_64(tmp_path: Path, said: str, found: str) -> None:
    way = Fake(root=str(tmp_path / "pi"), answers={"calcsize": said})
    with Device("pi4", way) as device:
        assert device.machine() == found


@pytest.mark.parametrize("said", ["Read-only file system", "Permission denied"])
def test_a_home_that_cannot_be_written_to(tmp_path: Path, said: str) -> None:
    answer = Completed(1, "", f"mkdir: cannot create directory '/home/pi/edgekit': {said}")
    way = Fake(root=str(tmp_path), answers={"mkdir -p": answer})
    with pytest.raises(DeviceError, match=said) as raised, Device("pi5", way):
        pass
    assert raised.value.fault is Fault.READ_ONLY
    assert "name a `home` in the inventory" in str(raised.value.hint)
