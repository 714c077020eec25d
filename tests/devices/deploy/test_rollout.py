"""A few devices first: where one of them fails, at once or after a while, the others stay."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.deploy import health
from edgekit.devices.deploy.deploy import WAKE_SECONDS, Deployment
from edgekit.devices.deploy.health import Health
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.deploy.rollout import Canary, roll_out
from edgekit.transports.base import Completed, Transport
from edgekit.transports.fake import Fake
from tests.devices.stub import stub
from tests.devices.tiny import tiny_bundle

DEPLOYED, FAILED, SKIPPED = DeployState.DEPLOYED, DeployState.FAILED, DeployState.SKIPPED
CHECK = 'test ! -e "$HOME/ill"'


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "new")


@pytest.fixture
def devices(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Transport]:
    monkeypatch.setattr(health, "PAUSE_SECONDS", 0.01)
    python = str(stub(bundle, tmp_path))
    return {name: Fake(root=str(tmp_path / name), python=python) for name in ("a", "b", "c")}


def run(devices: dict[str, Transport], bundle: Bundle, wait: float = 0.0) -> list[DeployState]:
    told: list[DeployResult] = []
    work = Deployment(bundle, bundle.release(), health=Health(check=CHECK, seconds=0.05))
    results = roll_out(devices, work, Canary(1, wait), told.append)
    assert {one.device for one in told} == set(devices), "each is told once"
    assert [one.device for one in results] == list(devices)
    return [one.state for one in results]


def in_use(devices: dict[str, Transport]) -> list[str]:
    found = [Path(way.root) for way in devices.values() if isinstance(way, Fake)]
    return [root.name for root in found if (root / "edgekit/models/means/current").exists()]


def make_ill(devices: dict[str, Transport], name: str) -> None:
    way = devices[name]
    assert isinstance(way, Fake)
    Path(way.root).mkdir(exist_ok=True)
    Path(way.root, "ill").touch()


def test_all_do_well(devices: dict[str, Transport], bundle: Bundle) -> None:
    assert run(devices, bundle) == [DEPLOYED] * 3
    assert in_use(devices) == ["a", "b", "c"]


def test_the_first_fails_at_once(devices: dict[str, Transport], bundle: Bundle) -> None:
    make_ill(devices, "a")
    assert run(devices, bundle) == [FAILED, SKIPPED, SKIPPED]
    assert in_use(devices) == []


def test_the_first_falls_ill_later(
    devices: dict[str, Transport], bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    falls_ill(monkeypatch, devices)
    assert run(devices, bundle, wait=600) == [FAILED, SKIPPED, SKIPPED]
    assert in_use(devices) == [], "the release before, which is none, is back"


def test_another_one_fails(devices: dict[str, Transport], bundle: Bundle) -> None:
    make_ill(devices, "b")
    assert run(devices, bundle) == [DEPLOYED, FAILED, DEPLOYED]


def falls_ill(monkeypatch: pytest.MonkeyPatch, devices: dict[str, Transport]) -> list[float]:
    """Device a does so as it is waited for; the list is of the waits."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        if seconds == 600:
            waits.append(seconds)
            make_ill(devices, "a")

    monkeypatch.setattr(time, "sleep", sleep)
    return waits


def test_one_that_had_the_release_already_is_looked_at_too(
    devices: dict[str, Transport], bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run({"a": devices["a"]}, bundle) == [DEPLOYED]
    waits = falls_ill(monkeypatch, devices)
    assert run(devices, bundle, wait=600) == [FAILED, SKIPPED, SKIPPED]
    assert waits == [600]
    assert run(devices, bundle) == [FAILED, SKIPPED, SKIPPED], "and at once, too"


def test_one_device_alone_is_waited_for(
    devices: dict[str, Transport], bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    falls_ill(monkeypatch, devices)
    assert run({"a": devices["a"]}, bundle, wait=600) == [FAILED]


def test_ctrl_c_in_the_wait_loses_no_result(
    devices: dict[str, Transport], bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(seconds: float) -> None:
        if seconds == 600:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    results = roll_out(devices, Deployment(bundle, bundle.release()), Canary(1, 600))
    assert [one.state for one in results] == [DEPLOYED, SKIPPED, SKIPPED]
    assert {one.as_record().exit_code for one in results} == {130}
    assert in_use(devices) == ["a"]


class Interrupting(Fake):
    """Somebody presses Ctrl-C in the last step."""

    def run(self, command: str, **options: Any) -> Completed:
        if "'.*.part'" in command:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(3 * WAKE_SECONDS)
        return super().run(command, **options)


def test_ctrl_c_in_the_last_step_of_the_first_begins_no_other(
    devices: dict[str, Transport], bundle: Bundle
) -> None:
    way = devices["a"]
    devices["a"] = Interrupting(root=f"{Path(str(way.python)).parent}/a", python=way.python)
    results = roll_out(devices, Deployment(bundle, bundle.release()), Canary(1))
    assert [one.state for one in results] == [DEPLOYED, SKIPPED, SKIPPED]
    assert results[1].as_record().exit_code == 130
    assert in_use(devices) == ["a"]
