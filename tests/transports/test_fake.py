"""The fake fails as it is told to, once, and is a sound device otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import DeviceError, Fault
from edgekit.transports.base import Completed
from edgekit.transports.fake import Fake

BOOT = "cat /proc/sys/kernel/random/boot_id"


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "device")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def test_its_home_is_its_folder(root: str) -> None:
    with Fake(root=root) as way:
        assert way.run('printf %s "$HOME"').out == root


def test_a_push_that_is_cut(root: str, file: Path) -> None:
    with Fake(root=root, cut_push_after=4) as way:
        with pytest.raises(DeviceError) as raised:
            way.push(file, f"{root}/x")
        assert raised.value.fault is Fault.CONNECTION_LOST
        assert Path(root, "x").read_bytes() == b"0123"
        with pytest.raises(DeviceError):
            way.run("true")
        way.open()
        way.push(file, f"{root}/x")
        assert Path(root, "x").read_bytes() == b"0123456789"


def test_a_command_that_is_cut(root: str) -> None:
    with Fake(root=root, cut_before=2) as way:
        assert way.run("echo one").out == "one\n"
        with pytest.raises(DeviceError) as raised:
            way.run("touch two")
        assert raised.value.fault is Fault.CONNECTION_LOST
        way.open()
        assert way.run("echo three").out == "three\n"
        assert way.commands == ["echo one", "touch two", "echo three"]


def test_a_command_that_is_cut_by_its_words(root: str) -> None:
    with Fake(root=root, cut_before="two") as way:
        way.run("echo one")
        for _ in range(2):
            way.open()
            way.run("echo three")
        with pytest.raises(DeviceError):
            way.run("touch two")
        way.open()
        assert way.run("echo two").out == "two\n", "once only"


def test_an_answer_that_is_lost(root: str) -> None:
    with Fake(root=root, cut_after="touch") as device:
        with pytest.raises(DeviceError) as raised:
            device.run(f"touch {root}/done")
        assert raised.value.fault is Fault.CONNECTION_LOST
        assert Path(root, "done").exists()
        device.open()
        assert device.run("true").code == 0


def test_a_restart(root: str) -> None:
    with Fake(root=root, reboot_before=3) as way:
        boot = way.run(BOOT).out
        assert way.run(BOOT).out == boot
        with pytest.raises(DeviceError):
            way.run("true")
        way.open()
        assert way.run(BOOT).out != boot


def test_a_full_device(root: str, file: Path) -> None:
    with Fake(root=root, capacity=15) as way:
        way.push(file, f"{root}/a")
        with pytest.raises(DeviceError) as raised:
            way.push(file, f"{root}/b")
        assert raised.value.fault is Fault.FULL
        assert Path(root, "b").stat().st_size == 5
        way.push(file, f"{root}/a")


def test_a_push_that_arrives_wrong(root: str, file: Path) -> None:
    with Fake(root=root, corrupt=True) as way:
        way.push(file, f"{root}/x")
        assert Path(root, "x").read_bytes() == b"1123456789"
        way.push(file, f"{root}/x")
        assert Path(root, "x").read_bytes() == b"0123456789"


def test_canned_answers(root: str) -> None:
    answers: dict[str, str | Completed] = {
        "get_throttled": "throttled=0x50005\n",
        "pmic": Completed(127, "", "not found"),
    }
    told: list[str] = []
    with Fake(root=root, answers=answers) as way:
        assert way.run("vcgencmd get_throttled", on_line=told.append).out == "throttled=0x50005\n"
        assert told == ["throttled=0x50005"]
        assert way.run("vcgencmd pmic_read_adc").code == 127
