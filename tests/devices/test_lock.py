"""One at a time on a device; a lock that nobody stands behind holds up nobody."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.devices import lock
from edgekit.devices.device import Device
from edgekit.devices.lock import Holder, break_lock, held, look
from edgekit.errors import DeviceError
from edgekit.transports.base import Completed
from edgekit.transports.fake import Fake


@pytest.fixture
def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    monkeypatch.setattr(lock, "PAUSE_SECONDS", 0.01)
    return Fake(root=str(tmp_path / "it's a pi"))


def holder_of(way: Fake) -> Path:
    return Path(way.root, "edgekit/.lock/holder")


def lay(way: Fake, text: str) -> None:
    holder_of(way).parent.mkdir(parents=True)
    holder_of(way).write_text(text)


def take(way: Fake) -> list[str]:
    told: list[str] = []
    with Device("pi5", way) as device, held(device, told.append):
        assert Holder.read(holder_of(way).read_text())
    assert not holder_of(way).parent.exists()
    return told


def test_it_is_there_while_somebody_works_and_gone_afterwards(way: Fake) -> None:
    assert take(way) == []
    with Device("pi5", way) as device, suppress(ValueError), held(device, print):
        assert holder_of(way).exists()
        raise ValueError("alas")
    assert not holder_of(way).parent.exists()


def test_the_other_one_waits_and_says_for_whom(way: Fake) -> None:
    inside, most, told = [0], [0], list[str]()
    waiting = threading.Event()

    def work() -> None:
        def tell(words: str) -> None:
            told.append(words)
            waiting.set()

        with Device("pi5", Fake(root=way.root)) as device:
            device.boot = "one"
            with held(device, tell):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                waiting.wait(timeout=60)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
    assert len(told) == 1
    assert told[0].startswith("pi5: waiting for ")


def test_that_of_another_boot_is_taken(way: Fake) -> None:
    lay(way, "another boot\t1\tsomebody@elsewhere 7\tabc")
    assert take(way) == []


def test_one_of_a_machine_that_died_is_shown_and_broken(way: Fake) -> None:
    with Device("pi5", way) as device:
        assert look(device) is None
        now = int(device.sh(lock.UPTIME))
        lay(way, f"{device.boot}\t{now - 120}\tsomebody@elsewhere 7\tabc")
        found = look(device)
        assert found
        assert found[0].who == "somebody@elsewhere 7"
        assert 120 <= found[1] < 180
        other = f"{device.boot}\t{now}\tanother@elsewhere 8\tdef"
        holder_of(way).write_text(other)
        break_lock(device, found[0])
        another = look(device)
        assert another, "who came meanwhile keeps it"
        assert str(another[0]) == other
        break_lock(device, another[0])
        assert look(device) is None
    assert take(way) == []


@pytest.mark.parametrize("age", [lock.STALE_SECONDS + 60, 120])
def test_a_stale_one_is_nobody_s_work(way: Fake, age: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too old, or of a process of this machine that is no more."""
    who = "somebody@elsewhere 7" if age > lock.STALE_SECONDS else f"{lock._me()} {2**22 + 1}"
    with Device("pi5", way) as device:
        since = 1_000_000
        lay(way, f"{device.boot}\t{since}\t{who}\t{lock._machine()}abc")
        fresh = lock.Holder(device.boot, since, "somebody@elsewhere 7", "abc")
        assert not fresh.is_stale(device.boot, since + 120)
        monkeypatch.setattr(lock, "UPTIME", f"echo {since + age}")
        assert look(device) is None


def test_one_that_was_never_filled_in_is_taken(way: Fake) -> None:
    lay(way, "")
    assert take(way) == []


def test_a_connection_that_broke_leaves_it_and_the_next_try_takes_it(way: Fake) -> None:
    with Device("pi5", way) as device, held(device, print):
        way.close()
    assert holder_of(way).exists()
    assert take(way) == []


def test_somebody_else_s_is_left_alone(way: Fake) -> None:
    """Whoever was taken for dead, and is not, does not remove the lock of whom came after."""
    with Device("pi5", way) as device, held(device, print):
        holder_of(way).write_text("boot\t1\tsomebody@elsewhere 7\tanother")
    assert holder_of(way).exists()


class WithPrograms(Fake):
    """A device on which some programs are others than usual."""

    programs: str

    def run(self, command: str, **options: Any) -> Completed:
        return super().run(f"PATH={self.programs}:$PATH; {command}", **options)


def test_one_let_go_between_two_looks_is_asked_for_again(way: Fake, tmp_path: Path) -> None:
    """The first mkdir finds it there, `test -d` does not any more."""
    programs = tmp_path / "programs"
    programs.mkdir()
    with Device("pi5", WithPrograms(root=way.root, programs=str(programs))) as device:
        (programs / "mkdir").write_text(f"#!/bin/sh\nrm {programs}/mkdir; exit 1\n")
        (programs / "mkdir").chmod(0o755)
        with held(device, print):
            assert Holder.read(holder_of(way).read_text())
        assert not (programs / "mkdir").exists()


def test_a_device_that_takes_no_lock_is_no_endless_wait(way: Fake) -> None:
    with Device("pi5", way) as device:
        Path(way.root, "edgekit/.lock").write_text("a file")
        with pytest.raises(DeviceError, match="mkdir"), held(device, print):
            pass


@pytest.mark.parametrize(
    ("holder", "stale"),
    [
        (Holder("boot", 100, "somebody@elsewhere 7", "t"), False),
        (Holder("other", 100, "somebody@elsewhere 7", "t"), True),
        (Holder("boot", 100 - lock.STALE_SECONDS - 1, "somebody@elsewhere 7", "t"), True),
        (Holder("boot", 100, f"{lock._me()} 99999999", f"{lock._machine()}t"), True),
        (Holder("boot", 100, f"{lock._me()} {os.getpid()}", f"{lock._machine()}t"), True),
        (Holder("boot", 100, f"{lock._me()} 1", f"{lock._machine()}t"), False),
        (Holder("boot", 100, f"{lock._me()} 99999999", "another machine"), False),
    ],
)
def test_whom_one_waits_for(holder: Holder, stale: bool) -> None:
    assert holder.is_stale("boot", 100) is stale


def test_a_phone_may_hide_its_boot() -> None:
    assert Holder.read("\t7\tme@here 1\tt") == Holder("", 7, "me@here 1", "t")
    assert Holder.read("boot\t7\tme@here 1") is None


@given(st.text())
def test_any_text_is_a_holder_or_none(text: str) -> None:
    found = Holder.read(text)
    assert found is None or found.token
