"""Devices of one kind share a build's measuring: one at a time each, and one that fails is left."""

from __future__ import annotations

import pickle
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.bench.timing_team import TimingTeam, team_of
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.transports.emulated import Emulated
from edgekit.transports.local import Local
from tests.boards import BOARD


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TimingTeam:
    monkeypatch.setenv("EDGEKIT_LEASE", str(tmp_path / "lease"))
    made = team_of([TimingDevice(name, Local(), BOARD) for name in ("b", "a")])
    assert isinstance(made, TimingTeam)
    return made


def test_its_key_is_of_all_members_in_any_order(team: TimingTeam) -> None:
    other = team_of(team.members[::-1])
    assert other.identity() == team.identity()
    assert other.name == "a+b"
    assert [one["device"] for one in team.identity()["devices"]] == ["a", "b"]


def test_as_many_measure_at_once_as_there_are_devices(team: TimingTeam) -> None:
    at, most, measured = Counter[str](), Counter[str](), Counter[str]()
    together = threading.Barrier(2, timeout=20)

    def work(one: TimingDevice) -> None:
        at[one.name] += 1
        most[one.name] = max(most[one.name], at[one.name])
        measured[one.name] += 1
        together.wait()
        at[one.name] -= 1

    threads = [threading.Thread(target=lambda: team.on_one(work, print)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == {"a": 1, "b": 1}
    assert measured == {"a": 2, "b": 2}


def failing(name: str, fault: Fault, seen: list[str]) -> Any:
    def work(one: TimingDevice) -> str:
        seen.append(one.name)
        if one.name == name:
            raise DeviceError("it is gone", fault=fault)
        return one.name

    return work


def test_one_that_vanishes_is_set_aside_for_this_command_alone(team: TimingTeam) -> None:
    seen, said = list[str](), list[str]()
    work = failing("a", Fault.UNREACHABLE, seen)
    assert [team.on_one(work, said.append) for _ in range(2)] == ["b", "b"]
    assert seen == ["a", "b", "b"]
    assert said == ["a is set aside: it is gone; another device measures"]
    with pytest.raises(DeviceError, match="no device is left to measure on: a: it is gone; b: it"):
        team.on_one(failing("b", Fault.UNREACHABLE, seen), said.append)
    assert team_of(team.members).on_one(lambda one: one.name, said.append) == "a"


def test_a_file_that_crashes_sets_no_device_aside(team: TimingTeam) -> None:
    said: list[str] = []
    with pytest.raises(DeviceError, match="it is gone"):
        team.on_one(failing("a", Fault.CRASHED, []), said.append)
    assert said == []
    assert team.on_each(lambda one: one.name, said.append) == {"a": "a", "b": "b"}


def test_what_one_process_sets_aside_the_others_leave(team: TimingTeam) -> None:
    twin = pickle.loads(pickle.dumps(team))
    begun = threading.Event()

    def slow(one: TimingDevice) -> str:
        begun.set()
        time.sleep(0.3)
        raise DeviceError("it is hot", fault=Fault.NO_RESULT)

    thread = threading.Thread(target=lambda: team.on_each(slow, print))
    thread.start()
    begun.wait(20)
    assert twin.on_one(lambda one: one.name, print) == "b"
    thread.join()
    with pytest.raises(DeviceError, match="no device is left"):
        twin.on_one(lambda one: one.name, print)


def test_devices_of_different_kinds_are_refused() -> None:
    members = [
        TimingDevice("a", Local(python=sys.executable), BOARD),
        TimingDevice("b", Emulated(cpu="cortex-a76"), BOARD),
    ]
    with pytest.raises(InputError, match="are of one kind: a is board, measured; b is board, emul"):
        team_of(members)
