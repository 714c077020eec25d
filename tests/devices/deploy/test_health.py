"""What does not do well after the switch is taken back, and the service with it."""

from __future__ import annotations

import shlex
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.agent_result import Golden
from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.deploy import health
from edgekit.devices.deploy.deploy import WAKE_SECONDS, Deployment, on_each
from edgekit.devices.deploy.health import Health
from edgekit.devices.deploy.releases import ReleaseStore
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.deploy.rollback import roll_back
from edgekit.devices.deploy.switching import Switching
from edgekit.devices.device import Device
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.transports.base import Completed
from edgekit.transports.fake import Fake
from edgekit.transports.ssh import Ssh
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


def dry_run(way: Fake, bundle: Bundle, **words: Any) -> DeployResult:
    with Device("pi5", way) as device:
        work = Deployment(bundle, bundle.release(), dry_run=True, health=Health(**words))
        return work.to(device)


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


def test_a_reload_is_told_before_it_may_hang(way: Fake, bundles: list[Bundle]) -> None:
    said: list[str] = []
    with Device("pi5", way) as device:
        health = Health(reload=SERVICE)
        Deployment(bundles[0], bundles[0].release(), health=health, on_message=said.append).to(
            device
        )
    assert f"pi5: `{SERVICE}`, 120 s at most" in said


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


class Interrupting(Fake):
    """Somebody presses Ctrl-C as the check runs."""

    def run(self, command: str, **options: Any) -> Completed:
        if "camera" in command:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(3 * WAKE_SECONDS)
        return super().run(command, **options)


def test_ctrl_c_in_the_check(way: Fake, bundles: list[Bundle]) -> None:
    deploy(way, bundles[0])
    pressed = Interrupting(root=way.root, python=way.python)
    work = Deployment(bundles[1], bundles[1].release(), health=Health(check="camera"))
    (result,) = on_each({"pi5": pressed}, work.to)
    record = result.as_record()
    assert "interrupted; release" in (record.error or "")
    assert record.exit_code == 130
    assert state(way)[0] == bundles[0].release()


class Died(BaseException):
    """edgekit is killed: nothing is taken back."""


def test_a_deployment_that_died_after_its_switch_is_ended_by_the_next(
    way: Fake, bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, _ = bundles
    deploy(way, old)

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Switching, "hold_health", die)
        with pytest.raises(Died):
            deploy(way, new, reload=SERVICE)
    assert state(way) == (new.release(), old.release())
    foreseen = dry_run(way, new, reload=SERVICE)
    assert foreseen.state is DeployState.WOULD_DEPLOY
    assert "has not shown its health yet" in (foreseen.note or "")
    assert dry_run(way, new).state is DeployState.UNCHANGED
    assert deploy(way, new, reload=SERVICE) is DeployState.DEPLOYED
    assert taken(way) == [new.release()]
    assert dry_run(way, new, reload=SERVICE).state is DeployState.UNCHANGED
    assert deploy(way, new, reload=SERVICE) is DeployState.UNCHANGED
    assert taken(way) == [new.release()], "it has the model"


def test_what_never_showed_its_health_is_taken_back_later(way: Fake, bundles: list[Bundle]) -> None:
    old, new, _ = bundles
    deploy(way, old)
    deploy(way, new)
    with pytest.raises(DeviceError, match=f"release {old.release()[:12]} is in use again"):
        deploy(way, new, check="false", seconds=0.05)
    assert state(way) == (old.release(), None)


def test_a_release_that_was_removed_since_is_not_put_back(way: Fake, bundles: list[Bundle]) -> None:
    old, new, _ = bundles
    deploy(way, old)
    deploy(way, new)
    shutil.rmtree(Path(way.root, "edgekit/models/means/previous").resolve())
    with pytest.raises(DeviceError, match=r"was removed since, and .* is in use all the same"):
        deploy(way, new, check="false", seconds=0.05)
    assert state(way)[0] == new.release()


@pytest.mark.parametrize("damage", [False, True])
def test_a_release_that_was_in_use_before_is_no_switch_to_take_back(
    way: Fake, bundles: list[Bundle], damage: bool
) -> None:
    """It is there already, or is only repaired: the release before it is long gone by."""
    old, new, _ = bundles
    deploy(way, old)
    deploy(way, new, check="true")
    if damage:
        next(Path(way.root, "edgekit/models/means/current").glob("*means.onnx")).unlink()
    with pytest.raises(DeviceError, match=f"release {new.release()[:12]} is in use all the same"):
        deploy(way, new, check="false", seconds=0.05)
    assert state(way) == (new.release(), old.release())


@pytest.mark.parametrize("error", [InputError("boom"), ZeroDivisionError("boom")])
def test_whatever_fails_the_switch_is_taken_back(
    way: Fake, bundles: list[Bundle], error: Exception
) -> None:
    deploy(way, bundles[0])

    def run(device: Device, folder: str) -> Golden:
        if folder.endswith("current"):
            raise error
        return Golden(max_abs_diff=0, spread=1, same_top1=8, images=8)

    work = Deployment(
        bundles[1], bundles[1].release(), golden_runner=run, health=Health(check="true")
    )
    (result,) = on_each({"pi5": way}, work.to)
    assert "boom" in str(result.error)
    assert state(way) == (bundles[0].release(), None)


def test_a_second_look_that_fails_leaves_both_links_as_they_were(
    way: Fake, bundles: list[Bundle]
) -> None:
    for bundle in bundles:
        deploy(way, bundle)
    oldest, old, new = (bundle.release() for bundle in bundles)
    work = Deployment(bundles[2], new, health=Health(check="false", seconds=0.05))
    with Device("pi5", way) as device, pytest.raises(DeviceError, match="is in use again"):
        work.look_again(device)
    assert state(way) == (old, oldest)
    with Device("pi5", way) as device:
        assert roll_back(device, "means").release == oldest


def test_a_reload_that_fails_twice_says_what_is_in_use(way: Fake, bundles: list[Bundle]) -> None:
    deploy(way, bundles[0])
    told = f"release {bundles[0].release()[:12]} is in use again, and its service was not reloaded"
    with pytest.raises(DeviceError, match=told):
        deploy(way, bundles[1], reload="exit 5")
    assert state(way) == (bundles[0].release(), None)


def test_after_a_restart_another_one_may_be_at_work(way: Fake, bundles: list[Bundle]) -> None:
    """The lock ended with the boot: it is taken anew, and what is in use by then is asked."""
    old, new, other = bundles
    deploy(way, other)
    deploy(way, old)

    def heard(line: str) -> None:
        assert line == "pi5: it is silent; waiting 90 s for it"

    class Restarted(Fake):
        def reboot(self) -> None:
            super().reboot()
            place = Path(self.root, "edgekit/models/means/current")
            place.unlink()
            place.symlink_to(f"releases/{other.release()}")

    restarting = Restarted(root=way.root, python=way.python, reboot_before="camera")
    work = Deployment(new, new.release(), on_message=heard, health=Health(check="camera"))
    with (
        Device("pi5", restarting) as device,
        pytest.raises(DeviceError, match="another release is in use by now, and stays"),
    ):
        work.to(device)
    assert state(way)[0] == other.release()
    assert not Path(way.root, "edgekit/.lock").exists()
    locks = [line for line in restarting.commands if "mkdir" in line and "/holder" in line]
    assert len(locks) > 1


def test_a_restart_in_the_switch_is_told(way: Fake, bundles: list[Bundle]) -> None:
    deploy(way, bundles[0])
    way.reboot_before = "means/previous && sync"
    with pytest.raises(DeviceError, match=r"the device restarted, and release .* all the same"):
        deploy(way, bundles[1], reload=SERVICE)
    assert deploy(way, bundles[1], reload=SERVICE) is DeployState.DEPLOYED
    assert taken(way) == [bundles[1].release()]


@pytest.mark.parametrize("words", [{"reload": "sleep 9"}, {"check": "sleep 9", "seconds": 0.05}])
def test_a_command_that_does_not_end_is_no_device_that_hangs(
    way: Fake, bundles: list[Bundle], words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "RELOAD_SECONDS", 0.05)
    monkeypatch.setattr(health, "LEAST_SECONDS", 0.05)
    with pytest.raises(DeviceError, match="`sleep 9` did not end") as raised:
        deploy(way, bundles[0], **words)
    assert raised.value.fault is Fault.UNHEALTHY
    assert "hang" not in f"{raised.value.hint}"


def test_the_hint_is_a_command() -> None:
    """As a person pastes it: the shell here gives ssh one word."""
    line = Ssh(host="pi@shed", port=2222).by_hand("cd '/home/pi/a b' && camera")
    assert shlex.split(line) == ["ssh", "-p", "2222", "pi@shed", "cd '/home/pi/a b' && camera"]


def test_a_rollback_whose_check_fails_says_what_is_in_use(way: Fake, bundles: list[Bundle]) -> None:
    for bundle in bundles[:2]:
        deploy(way, bundle)
    with Device("pi5", way) as device:
        result = roll_back(device, "means", health=Health(check="false", seconds=0.05))
    assert result.state is DeployState.FAILED
    assert result.release == bundles[0].release()
    assert f"release {result.release[:12]} is in use all the same" in str(result.error)
    assert state(way)[0] == result.release


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
