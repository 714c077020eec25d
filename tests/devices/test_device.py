"""Files reach a device whole, or not at all, and the next try goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.artifact import sha256_of
from edgekit.devices.device import Device
from edgekit.errors import DeviceError, Fault
from edgekit.transports.fake import Fake


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(range(256)) * 40)
    return path


@pytest.fixture
def way(tmp_path: Path) -> Fake:
    return Fake(root=str(tmp_path / "it's a device"))


def files(way: Fake) -> list[str]:
    return sorted(path.name for path in Path(way.root).glob("edgekit/files/*"))


def ensure(way: Fake, file: Path) -> str:
    with Device("pi5", way) as device:
        return device.ensure(file)


def test_what_is_there_is_not_sent_again(way: Fake, file: Path) -> None:
    place = ensure(way, file)
    assert place == f"{way.root}/edgekit/files/{sha256_of(file)}"
    assert sha256_of(Path(place)) == sha256_of(file)
    way.cut_push_after = 0  # a second push would break
    assert ensure(way, file) == place
    assert files(way) == [sha256_of(file)]


@pytest.mark.parametrize("count", [0, 1, 5000, 10239])
def test_a_connection_cut_in_the_middle(way: Fake, file: Path, count: int) -> None:
    way.cut_push_after = count
    with pytest.raises(DeviceError) as raised:
        ensure(way, file)
    assert raised.value.fault is Fault.CONNECTION_LOST
    assert sha256_of(file) not in files(way)
    ensure(way, file)
    assert files(way) == [sha256_of(file)], "the broken part is cleared away"


def test_a_connection_cut_before_any_command(way: Fake, file: Path) -> None:
    reference = Fake(root=way.root)
    ensure(reference, file)
    for number in range(1, len(reference.commands) + 1):
        cut = Fake(root=f"{way.root}-{number}", cut_before=number)
        with pytest.raises(DeviceError) as raised:
            ensure(cut, file)
        assert raised.value.fault is Fault.CONNECTION_LOST
        assert ensure(cut, file).endswith(sha256_of(file))
        assert files(cut) == [sha256_of(file)]


def test_what_arrives_wrong_is_refused_and_removed(way: Fake, file: Path) -> None:
    way.corrupt = True
    with pytest.raises(DeviceError) as raised:
        ensure(way, file)
    assert raised.value.fault is Fault.HASH_MISMATCH
    assert files(way) == []
    ensure(way, file)


def test_a_device_that_fills_up(way: Fake, file: Path) -> None:
    way.capacity = 5000
    with pytest.raises(DeviceError) as raised:
        ensure(way, file)
    assert raised.value.fault is Fault.FULL
    assert files(way) == [], "nothing is left to fill it further"


def test_what_cannot_fit_is_not_begun(way: Fake, file: Path) -> None:
    way.answers["df -Pk"] = "Filesystem 1024-blocks Used Available\n/dev/root 99 9 19000 9% /\n"
    with pytest.raises(DeviceError, match=r"needs 0\.0 MB, and 19\.5 MB are free") as raised:
        ensure(way, file)
    assert raised.value.fault is Fault.FULL
    assert files(way) == []


def test_a_command_that_fails_is_quoted(way: Fake) -> None:
    with Device("pi5", way) as device, pytest.raises(DeviceError, match="ended with 3: alas"):
        device.sh("echo alas >&2; exit 3")
    with Device("pi5", way) as device, pytest.raises(DeviceError) as raised:
        device.sh("cat /etc/passwd > /dev/full")
    assert raised.value.fault is Fault.FULL
