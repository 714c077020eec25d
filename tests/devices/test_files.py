"""Files reach a device whole, or not at all, and the next try goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.device import Device
from edgekit.devices.files import free_bytes, patience
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError, Fault
from edgekit.transports.base import Completed
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
    return sorted(path.name for path in Path(way.root).glob("edgekit/files/[!.]*"))


def ensure(way: Fake, file: Path) -> str:
    with Device("pi5", way) as device:
        return device.files.ensure(file)


def test_what_is_there_is_not_sent_again(way: Fake, file: Path) -> None:
    place = ensure(way, file)
    assert place == f"{way.root}/edgekit/files/{sha256_of(file)}"
    assert sha256_of(Path(place)) == sha256_of(file)
    way.cut_push_after = 0  # a second push would break
    assert ensure(way, file) == place
    assert files(way) == [sha256_of(file)]


def test_what_a_run_writes_over_its_files_changes_no_other_run(way: Fake, file: Path) -> None:
    for _ in range(2):
        with Device("pi5", way) as device, device.work({"agent.py": file}) as folder:
            laid_out = Path(folder, "agent.py")
            assert laid_out.read_bytes() == file.read_bytes()
            laid_out.write_text("another agent")
    assert sha256_of(Path(way.root, "edgekit/files", sha256_of(file))) == sha256_of(file)


def test_a_file_that_is_not_whole_any_more_is_sent_again(way: Fake, file: Path) -> None:
    Path(ensure(way, file)).write_text("another file")
    assert sha256_of(Path(ensure(way, file))) == sha256_of(file)


@pytest.mark.parametrize("count", [0, 1, 5000, 10239])
def test_a_connection_cut_in_the_middle(way: Fake, file: Path, count: int) -> None:
    way.cut_push_after = count
    with pytest.raises(DeviceError) as raised:
        ensure(way, file)
    assert raised.value.fault is Fault.CONNECTION_LOST
    assert sha256_of(file) not in files(way)
    ensure(way, file)
    assert sha256_of(file) in files(way)
    other = file.with_name("other")
    other.write_text("another file")
    ensure(way, other)
    assert files(way) == sorted(map(sha256_of, (file, other))), "the broken part is cleared away"


def test_what_no_release_holds_is_kept_by_its_use_and_not_by_a_clock(way: Fake, file: Path) -> None:
    """A board without a clock begins in 1970."""
    release = Path(way.root, "edgekit/models/net/releases/1")
    release.mkdir(parents=True)
    made = [file.with_name(name) for name in ("held", "first", "second")]
    for path in made:
        path.write_text(path.name)
        ensure(way, path)
    (release / "SHA256SUMS").write_text(f"{sha256_of(made[0])}  model.tflite\n")
    ensure(way, made[1])
    for path in Path(way.root).glob("edgekit/files/[!.]*"):
        os.utime(path, (1, 1))
    with Device("pi5", way) as device:
        assert device.files.remove_stale() == 0
        assert device.files.remove_stale(kept=1) == 1
    assert files(way) == sorted(map(sha256_of, made[:2])), "the one that was used last stays"


def test_a_connection_cut_before_any_command(way: Fake, file: Path) -> None:
    reference = Fake(root=way.root)
    ensure(reference, file)
    for number in range(1, len(reference.commands) + 1):
        cut = Fake(root=f"{way.root}-{number}", cut_before=number)
        with pytest.raises(DeviceError) as raised:
            ensure(cut, file)
        assert raised.value.fault is Fault.CONNECTION_LOST
        assert ensure(cut, file).endswith(sha256_of(file))
        assert [name for name in files(cut) if not name.endswith(".part")] == [sha256_of(file)]


def test_the_name_of_a_drive_may_have_spaces() -> None:
    head = "Filesystem 1024-blocks Used Available Capacity Mounted on\n"
    assert free_bytes(head + "//nas/my share 1000 990 10 99% /mnt/my share\n") == 10240
    assert free_bytes(head + "tmpfs 1000 990 10 - /run\n") == 10240
    assert free_bytes("df: not found") is None


def test_a_slow_card_has_time(way: Fake, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 MB at half a megabyte a second, behind what others have written."""
    assert patience(300_000_000) == 1200
    limits = []
    run = Fake.run

    def watched(self: Fake, command: str, **words: Any) -> Completed:
        limits.append((command, words.get("timeout") or 0.0))
        return run(self, command, **words)

    monkeypatch.setattr(Fake, "run", watched)
    ensure(way, file)
    assert min(limit for command, limit in limits if "sync" in command) > 600


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
