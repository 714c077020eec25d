"""What does not do well after the switch is taken back, and the service with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.deploy import health
from edgekit.devices.deploy.deploy import Deployment, on_each
from edgekit.devices.deploy.health import Health
from edgekit.devices.deploy.releases import ReleaseStore
from edgekit.devices.deploy.result import DeployState
from edgekit.devices.deploy.rollback import roll_back
from edgekit.devices.device import Device
from edgekit.errors import DeviceError, Fault
from edgekit.transports.fake import Fake
from tests.devices.stub import stub
from tests.devices.tiny import tiny_bundle
from tests.sshd import Sshd

SERVICE = 'readlink -f . | xargs basename >> "$HOME/service"'
"""Takes the model that is in use, as a service does that is restarted."""


@pytest.fixture
def bundles(tmp_path: Path) -> list[Bundle]:
    return [tiny_bundle(tmp_path / name, seed=seed) for seed, name in enumerate("abc")]


@pytest.fixture
def way(bundles: list[Bundle], tmp_path: Path) -> Fake:
    return Fake(root=str(tmp_path / "pi"), python=str(stub(bundles[0], tmp_path)))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PAUSE_SECONDS", 0.02)


def deploy(way: Fake, bundle: Bundle, **words: Any) -> DeployState:
    with Device("pi5", way) as device:
        work = Deployment(bundle, bundle.release(), health=Health(**words))
        return work.to(device).state


def state(way: Fake) -> tuple[str | None, str | None]:
    """What is in use, and what was before."""
    with Device("pi5", way) as device:
        found = ReleaseStore(device, "means")
        return found.current(), found.previous()


def taken(way: Fake) -> list[str]:
    service = Path(way.root, "service")
    return service.read_text().split() if service.exists() else []


def test_a_service_takes_the_new_model(way: Fake, bundles: list[Bundle]) -> None:
    state = deploy(way, bundles[0], reload=SERVICE, check="test -e a-means.onnx || exit 3; exit 0")
    assert state is DeployState.DEPLOYED
    assert taken(way) == [bundles[0].release()]


def test_a_failing_check_puts_model_and_service_back(way: Fake, bundles: list[Bundle]) -> None:
    old, new, newest = bundles
    deploy(way, old)
    deploy(way, new)
    words = {"reload": SERVICE, "check": "echo 'no camera' >&2; exit 3", "seconds": 0.1}
    with pytest.raises(DeviceError) as raised:
        deploy(way, newest, **words)
    assert raised.value.fault is Fault.UNHEALTHY
    assert "within 0.1 s" in raised.value.message
    assert "ended with 3: no camera" in raised.value.message
    assert f"release {new.release()[:12]} is in use again" in raised.value.message
    assert state(way) == (new.release(), old.release())
    assert taken(way) == [newest.release(), new.release()]


def test_the_first_model_that_fails_leaves_none_in_use(way: Fake, bundles: list[Bundle]) -> None:
    with pytest.raises(DeviceError, match=r"`false` ended with 1.*none is in use, as before"):
        deploy(way, bundles[0], reload="false")
    assert state(way) == (None, None)
    assert deploy(way, bundles[0]) is DeployState.DEPLOYED


def test_a_check_that_passes_in_time(way: Fake, bundles: list[Bundle]) -> None:
    """A service takes a moment to start."""
    counts = 'echo x >> "$HOME/tries"; test "$(wc -l < "$HOME/tries")" -ge 3'
    assert deploy(way, bundles[0], check=counts, seconds=30.0) is DeployState.DEPLOYED


def test_a_connection_that_breaks_in_the_check(way: Fake, bundles: list[Bundle]) -> None:
    deploy(way, bundles[0])
    way.cut_before = "camera"
    with pytest.raises(DeviceError, match="the connection broke; release") as raised:
        deploy(way, bundles[1], check="camera")
    assert raised.value.fault is Fault.CONNECTION_LOST
    assert state(way)[0] == bundles[0].release()


def test_ctrl_c_in_the_check(way: Fake, bundles: list[Bundle]) -> None:
    deploy(way, bundles[0])
    with Device("pi5", way) as device:
        work = Deployment(bundles[1], bundles[1].release(), health=Health(check="false"))
        releases = ReleaseStore(device, "means")
        with releases.part(work.release) as part:
            device.files.lay_out(bundles[1].files, part)
            releases.move_in(part, work.release, bundles[1].sums, 0)
        releases.switch(work.release)
        device.interrupted.set()
        with pytest.raises(DeviceError, match="interrupted; release") as raised:
            work._hold_health(releases, None)
    assert raised.value.exit_code == 130
    assert state(way)[0] == bundles[0].release()


def test_a_rollback_reloads_too(way: Fake, bundles: list[Bundle]) -> None:
    for bundle in bundles[:2]:
        deploy(way, bundle)
    with Device("pi5", way) as device:
        roll_back(device, "means", health=Health(reload=SERVICE))
    assert taken(way) == [bundles[0].release()]


def test_over_a_real_server(bundles: list[Bundle], tmp_path: Path) -> None:
    python = str(stub(bundles[0], tmp_path))
    with Sshd(tmp_path / "sshd") as server:
        way = server.way(python=python)
        for bundle, check in ((bundles[0], "true"), (bundles[1], "test -e /no/camera")):
            work = Deployment(bundle, bundle.release(), health=Health(SERVICE, check, seconds=0.1))
            (result,) = on_each({"pi5": way}, work.to)
        assert result.error
        assert f"release {bundles[0].release()[:12]} is in use again" in result.error.message
        with Device("pi5", way) as device:
            assert ReleaseStore(device, "means").current() == bundles[0].release()
        service = (server.home / "service").read_text().split()
        assert service == [b.release() for b in (bundles[0], bundles[1], bundles[0])]
