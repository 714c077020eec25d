from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgekit.devices.device import Device
from edgekit.devices.files import ORDER
from edgekit.errors import DeviceError, Fault
from edgekit.transports import adb
from edgekit.transports.adb import Adb
from edgekit.transports.base import Completed
from tests.adbd import Adbd, adb_server, phone

Connect = Callable[..., tuple[Adbd, Adb]]


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """A device, and the transport to it."""
    with ExitStack() as stack:
        stack.enter_context(adb_server(tmp_path, monkeypatch))

        def start(features: str = "shell_v2") -> tuple[Adbd, Adb]:
            device = stack.enter_context(phone(tmp_path, features))
            return device, Adb(serial=device.serial, home=str(tmp_path / "home"))

        yield start


@pytest.mark.parametrize("features", ["shell_v2", "cmd"])
def test_commands_run_and_end_with_their_code(connect: Connect, features: str) -> None:
    _, transport = connect(features)
    heard: list[str] = []
    with transport:
        done = transport.run("echo one; echo two >&2; exit 7", on_line=heard.append)
        assert done.code == 7
        if features == "shell_v2":
            assert done == Completed(7, "one\n", "two\n")
        else:
            assert done.out == done.err == "one\ntwo\n"
        assert heard[0] == "one"
        assert transport.run("printf %s 'no end of line'").out == "no end of line"
        assert transport.run('cat; echo "it\'s $((1 + 1))" # nothing').out == "it's 2\n"


def test_files_travel_whole(connect: Connect, tmp_path: Path) -> None:
    _, transport = connect()
    source, back = tmp_path / "a b'c.bin", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 2000)
    with Device("phone", transport) as device:
        there = device.files.ensure(source)
        assert device.files.ensure(source) == there
        transport.pull(there, back)
        with pytest.raises(DeviceError, match="nothing-here"):
            transport.pull(f"{device.home}/nothing-here", back)
    assert back.read_bytes() == source.read_bytes()


def test_a_cut_in_the_middle_of_a_push_is_named_and_mended(
    connect: Connect, tmp_path: Path
) -> None:
    phone, transport = connect()
    source = tmp_path / "model"
    source.write_bytes(b"x" * 2_000_000)
    with Device("phone", transport) as device:
        phone.cut_after = 300_000
        with pytest.raises(DeviceError) as caught:
            device.files.ensure(source)
        assert caught.value.fault is Fault.CONNECTION_LOST
    with Device("phone", transport) as device:
        there = Path(device.files.ensure(source))
        assert there.read_bytes() == source.read_bytes()
        left = {path.name for path in there.parent.iterdir()}
        assert left == {there.name, ORDER}, "what broke off is gone"


def test_a_connection_lost_in_the_middle_of_a_command(connect: Connect) -> None:
    phone, transport = connect()
    with transport, pytest.raises(DeviceError) as caught:
        transport.run("echo begun; sleep 30", on_line=lambda line: phone.drop())
    assert caught.value.fault is Fault.CONNECTION_LOST


def test_a_full_device_is_named(connect: Connect, tmp_path: Path) -> None:
    phone, transport = connect()
    source = tmp_path / "model"
    source.write_bytes(b"x" * 500_000)
    phone.full_after = 100_000
    with Device("phone", transport) as device, pytest.raises(DeviceError) as caught:
        device.files.ensure(source)
    assert caught.value.fault is Fault.FULL
    assert "No space left" in caught.value.message


def test_a_device_that_is_not_there_is_told_from_those_that_are(connect: Connect) -> None:
    phone, _ = connect()
    with pytest.raises(DeviceError, match=phone.serial) as caught, Adb(serial="R58M"):
        pass
    assert caught.value.fault is Fault.UNREACHABLE


@pytest.mark.parametrize(
    ("state", "fault", "hint"),
    [
        ("unauthorized", Fault.REFUSED, "confirm the dialog"),
        ("offline", Fault.UNREACHABLE, "adb reconnect"),
        ("no permissions (user in plugdev group; are your udev rules wrong?)",
         Fault.UNREACHABLE, "udev rules"),
        ("sideload", Fault.UNREACHABLE, "`adb devices`"),
    ],
)  # fmt: skip
def test_states_that_let_nothing_run(
    state: str, fault: Fault, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"#!/bin/sh\necho 'List of devices attached'\nprintf 'R58M\\t{state}\\n\\n'\n"
    monkeypatch.setattr(adb, "SETTLE_SECONDS", 0.0)
    (tmp_path / "adb").write_text(script)
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DeviceError) as caught, Adb(serial="R58M"):
        pass
    assert caught.value.fault is fault
    assert hint in (caught.value.hint or "")


def test_without_the_program_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError) as caught, Adb(serial="R58M"):
        pass
    assert caught.value.fault is Fault.MISSING_PROGRAM
    assert "apt-get install adb" in (caught.value.hint or "")
