"""Whatever fails, and wherever: the release in use stays in use, and the next try goes on."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.deploy.deploy import WAKE_SECONDS, Deployment, on_each
from edgekit.devices.deploy.releases import deployed_models
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.deploy.rollback import roll_back
from edgekit.devices.device import Device
from edgekit.devices.files import DeviceFiles
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.transports.base import Completed
from edgekit.transports.fake import Fake
from tests.devices.stub import stub
from tests.devices.tiny import tiny_bundle


def board(root: Path, *, python: str = sys.executable, **faults: Any) -> Fake:
    return Fake(root=str(root), python=python, **faults)


def deploy(bundle: Bundle, way: Fake, **options: Any) -> DeployState:
    with Device("pi5", way) as device:
        return Deployment(bundle, bundle.release(), **options).to(device).state


def in_use(way: Fake) -> str | None:
    link = Path(way.root, "edgekit/models/means/current")
    return link.resolve().name if link.is_symlink() else None


@pytest.fixture
def old(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "new", seed=1)


@pytest.fixture
def quick(old: Bundle, tmp_path: Path) -> str:
    """A device's Python where it is no matter what the agent does: one run takes half a second."""
    return str(stub(old, tmp_path))


def test_a_release_is_in_use_once_it_has_proved_itself(old: Bundle, tmp_path: Path) -> None:
    way = board(tmp_path / "pi")
    assert deploy(old, way) is DeployState.DEPLOYED
    assert in_use(way) == old.release()
    current = Path(way.root, "edgekit/models/means/current")
    model = old.info.subject.file
    assert (current / model).read_bytes() == old.files[model].read_bytes()
    assert deploy(old, way) is DeployState.UNCHANGED


def test_what_is_there_is_not_sent_again(
    old: Bundle, new: Bundle, quick: str, tmp_path: Path
) -> None:
    way = board(tmp_path / "pi", python=quick)
    deploy(old, way)
    with Device("pi5", way) as device:
        outcome = Deployment(new, new.release()).to(device)
    whole = sum(path.stat().st_size for path in new.files.values())
    agent = (new.folder / "agent.py").stat().st_size
    assert 0 < outcome.sent_bytes <= whole - agent


def test_a_dry_run_sends_nothing(old: Bundle, tmp_path: Path) -> None:
    way = board(tmp_path / "pi")
    assert deploy(old, way, dry_run=True) is DeployState.WOULD_DEPLOY
    assert in_use(way) is None
    assert not Path(way.root, "edgekit/files").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_connection_cut_in_the_middle_of_a_push(
    old: Bundle, new: Bundle, quick: str, tmp_path: Path, share: float
) -> None:
    way = board(tmp_path / "pi", python=quick)
    deploy(old, way)
    size = new.files["slice_images.npy"].stat().st_size
    cut = board(tmp_path / "pi", python=quick, cut_push_after=int(share * size))
    with pytest.raises(DeviceError) as raised:
        deploy(new, cut)
    assert raised.value.fault is Fault.CONNECTION_LOST
    assert in_use(cut) == old.release()
    assert deploy(new, cut) is DeployState.DEPLOYED


def test_a_full_device(old: Bundle, new: Bundle, quick: str, tmp_path: Path) -> None:
    way = board(tmp_path / "pi", python=quick)
    deploy(old, way)
    used = sum(p.stat().st_size for p in Path(way.root).rglob("*") if p.is_file())
    full = board(tmp_path / "pi", python=quick, capacity=used + 100)
    with pytest.raises(DeviceError) as raised:
        deploy(new, full)
    assert raised.value.fault is Fault.FULL
    assert in_use(full) == old.release()


def test_no_room_is_seen_before_anything_is_sent(old: Bundle, tmp_path: Path) -> None:
    df = "Filesystem 1024-blocks Used Available Capacity Mounted\n/dev/root 1000 990 10 99% /\n"
    way = board(tmp_path / "pi", answers={"df -Pk": df})
    with pytest.raises(DeviceError, match=r"0\.0 MB are free") as raised:
        deploy(old, way)
    assert raised.value.fault is Fault.FULL
    assert not Path(way.root, "edgekit/models/means").exists()


def test_a_damaged_push(old: Bundle, new: Bundle, quick: str, tmp_path: Path) -> None:
    deploy(old, board(tmp_path / "pi", python=quick))
    way = board(tmp_path / "pi", python=quick, corrupt=True)
    with pytest.raises(DeviceError) as raised:
        deploy(new, way)
    assert raised.value.fault is Fault.HASH_MISMATCH
    assert in_use(way) == old.release()
    assert deploy(new, way) is DeployState.DEPLOYED


def test_a_stored_file_that_goes_bad_meanwhile_is_sent_again(
    old: Bundle, new: Bundle, quick: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = board(tmp_path / "pi", python=quick)
    deploy(old, way)
    stored = Path(way.root, "edgekit/files", sha256_of(new.files["agent.py"]))
    content = stored.read_bytes()
    stored.unlink()  # not in place: the release in use may share the file
    stored.write_bytes(content[:-1] + b"#")
    seen_whole = DeviceFiles.missing

    looks = iter((False, False))

    def missing(self: DeviceFiles, files: list[Path]) -> list[Path]:
        sees = next(looks, True)
        return [path for path in seen_whole(self, files) if sees or path.name != "agent.py"]

    monkeypatch.setattr(DeviceFiles, "missing", missing)
    heard: list[str] = []
    assert deploy(new, way, on_message=heard.append) is DeployState.DEPLOYED
    assert any("agent.py is damaged there: sending it again" in line for line in heard)


@pytest.mark.parametrize("damage", ["changed", "cut off", "gone"])
@pytest.mark.parametrize("name", ["means.onnx", "SHA256SUMS", "agent.py"])
def test_a_damaged_release_is_repaired_by_the_first_redeploy(
    old: Bundle, tmp_path: Path, damage: str, name: str
) -> None:
    way = board(tmp_path / "pi")
    deploy(old, way)
    found = next(Path(way.root, "edgekit/models/means/current").glob(f"*{name}"))
    content = found.read_bytes()
    if damage == "gone":
        found.unlink()
    else:  # in place: the file under its hash is the same one
        found.write_bytes(b"#" + content[1:] if damage == "changed" else content[:-9])
    with Device("pi5", way) as device:
        (seen,) = deployed_models(device)
    assert seen.current == old.release()
    assert not seen.is_whole
    assert name in seen.releases[0].damaged[0]
    assert deploy(old, way) is DeployState.DEPLOYED
    with Device("pi5", way) as device:
        (seen,) = deployed_models(device)
    assert seen.is_whole


def test_scores_that_are_not_the_golden_ones(old: Bundle, tmp_path: Path) -> None:
    way = board(tmp_path / "pi")
    deploy(old, way)
    wrong = tiny_bundle(tmp_path / "wrong", off_by=0.5)
    with pytest.raises(DeviceError, match="golden images differ by up to") as raised:
        deploy(wrong, way)
    assert raised.value.fault is Fault.WRONG_RESULT
    assert in_use(way) == old.release()


def test_another_architecture(tmp_path: Path) -> None:
    way = board(tmp_path / "pi")
    with pytest.raises(DeviceError, match="and board is riscv64") as raised:
        deploy(tiny_bundle(tmp_path / "riscv", machine="riscv64"), way)
    assert raised.value.fault is Fault.WRONG_ARCHITECTURE


def test_a_missing_runtime(old: Bundle, tmp_path: Path) -> None:
    bare = tmp_path / "python"  # -S: no site-packages
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    way = Fake(root=str(tmp_path / "pi"), python=str(bare))
    with pytest.raises(DeviceError, match="not installed for the Python") as raised:
        deploy(old, way)
    assert raised.value.fault is Fault.MISSING_RUNTIME
    assert raised.value.hint == "edgekit device setup pi5"


def test_a_device_that_restarts_in_the_middle(old: Bundle, new: Bundle, tmp_path: Path) -> None:
    deploy(old, board(tmp_path / "pi"))
    way = board(tmp_path / "pi", reboot_before="agent.py smoke.json")
    with pytest.raises(DeviceError, match="restarted during the run") as raised:
        deploy(new, way)
    assert raised.value.fault is Fault.REBOOTED
    assert in_use(way) == old.release()


def test_rollback_and_forward_again(old: Bundle, new: Bundle, tmp_path: Path) -> None:
    way = board(tmp_path / "pi")
    deploy(old, way)
    for name, told in (("means", "no release before"), ("meens", "no model meens was deployed")):
        with Device("pi5", way) as device, pytest.raises(DeviceError, match=told):
            roll_back(device, name)
    deploy(new, way)
    for expected in (old, new):
        with Device("pi5", way) as device:
            outcome = roll_back(device, "means")
        assert outcome.state is DeployState.ROLLED_BACK
        assert in_use(way) == outcome.release == expected.release()


def test_a_rollback_to_nowhere(old: Bundle, new: Bundle, quick: str, tmp_path: Path) -> None:
    """A switch was broken off between its two links; or a power cut emptied the release's sums."""
    way = board(tmp_path / "pi", python=quick)
    deploy(old, way)
    deploy(new, way)
    place = Path(way.root, "edgekit/models/means")
    sums = place / "releases" / old.release() / "SHA256SUMS"
    sums.unlink()
    sums.touch()
    with Device("pi5", way) as device, pytest.raises(DeviceError, match="SHA256SUMS of release"):
        roll_back(device, "means")
    (place / "previous").unlink()
    (place / "previous").symlink_to(f"releases/{new.release()}")
    with Device("pi5", way) as device, pytest.raises(DeviceError, match="a switch was broken off"):
        roll_back(device, "means")
    assert in_use(way) == new.release()


@pytest.mark.parametrize(
    "fault",
    [
        {"cut_before": "previous.new"},
        {"cut_after": "previous.new && sync"},
        {"cut_after": "current.new"},
        {"cut_before": "means/previous && sync"},
    ],
)
def test_a_switch_that_was_broken_off_can_be_rolled_back(
    old: Bundle, new: Bundle, fault: dict[str, str], quick: str, tmp_path: Path
) -> None:
    way = board(tmp_path / "pi", python=quick)
    deploy(old, way)
    deploy(new, way)
    third = tiny_bundle(tmp_path / "third", seed=3)
    with suppress(DeviceError):
        deploy(third, board(tmp_path / "pi", python=quick, **fault))
    before = {new.release(): old.release(), third.release(): new.release()}
    expected = before[str(in_use(way))]
    with Device("pi5", way) as device:
        assert roll_back(device, "means").release == expected
    assert in_use(way) == expected


class Interrupting(Fake):
    """Somebody presses Ctrl-C as the golden images run, and this very thread takes the signal."""

    def run(self, command: str, **options: Any) -> Completed:
        if "agent.py smoke" in command:
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            time.sleep(10 * WAKE_SECONDS)
        return super().run(command, **options)


def test_ctrl_c_ends_a_deployment_before_its_switch(
    old: Bundle, new: Bundle, quick: str, tmp_path: Path
) -> None:
    deploy(old, board(tmp_path / "pi", python=quick))
    way = Interrupting(root=str(tmp_path / "pi"), python=quick)
    (outcome,) = on_each({"pi5": way}, Deployment(new, new.release()).to, new.release())
    assert outcome.as_record().fault == "interrupted"
    assert outcome.error
    assert outcome.error.exit_code == 130
    assert in_use(way) == old.release()
    assert not Path(way.root, "edgekit/.lock").exists()


def test_the_oldest_releases_go(quick: str, tmp_path: Path) -> None:
    way = board(tmp_path / "pi", python=quick)
    bundles = [tiny_bundle(tmp_path / f"b{n}", seed=n) for n in range(4)]
    for bundle in bundles:
        deploy(bundle, way, keep=2)
    kept = {path.name for path in Path(way.root, "edgekit/models/means/releases").iterdir()}
    assert kept == {bundle.release() for bundle in bundles[-2:]}


def test_each_device_has_its_result(old: Bundle, quick: str, tmp_path: Path) -> None:
    ways: dict[str, Any] = {
        "good": board(tmp_path / "good", python=quick),
        "cut": board(tmp_path / "cut", python=quick, cut_push_after=10),
    }
    deployment = Deployment(old, old.release())
    outcomes = {o.device: o for o in on_each(ways, deployment.to, old.release())}
    assert outcomes["good"].state is DeployState.DEPLOYED
    assert outcomes["cut"].state is DeployState.FAILED
    assert outcomes["cut"].as_record().fault == "connection lost"


class Meeting(Fake):
    """A device that goes on with its sums only once all eight have come to them."""

    _barrier: threading.Barrier = PrivateAttr()

    def run(self, command: str, **options: Any) -> Completed:
        if "releases/." in command and "sha256sum" in command:
            self._barrier.wait(timeout=120)
        return super().run(command, **options)


def test_eight_devices_are_at_work_at_the_same_time(old: Bundle, tmp_path: Path) -> None:
    """In the midst of their deployments: whatever let one in at a time would break the barrier."""
    barrier, ways = threading.Barrier(8), dict[str, Any]()
    for number in range(8):
        way = Meeting(root=str(tmp_path / f"pi{number}"), python=str(stub(old, tmp_path)))
        way._barrier = barrier
        ways[f"pi{number}"] = way
    outcomes = on_each(ways, Deployment(old, old.release()).to, old.release())
    assert [outcome.error for outcome in outcomes] == [None] * 8
    assert {outcome.state for outcome in outcomes} == {DeployState.DEPLOYED}


def test_a_fault_of_our_own_on_one_device_is_told_with_the_others(
    old: Bundle, tmp_path: Path
) -> None:
    def work(device: Device) -> DeployResult:
        if device.name == "odd":
            raise ZeroDivisionError("alas")
        return Deployment(old, old.release(), dry_run=True).to(device)

    outcomes = on_each({name: board(tmp_path / name) for name in ("odd", "good")}, work)
    assert [outcome.state for outcome in outcomes] == [DeployState.FAILED, DeployState.WOULD_DEPLOY]
    assert "edgekit's own: ZeroDivisionError: alas" in str(outcomes[0].as_record().error)


def test_scores_that_are_no_numbers(old: Bundle, tmp_path: Path) -> None:
    ready = stub(old, tmp_path, max_abs_diff=float("nan"))
    with pytest.raises(DeviceError, match=r"golden\.max_abs_diff") as raised:
        deploy(old, Fake(root=str(tmp_path / "pi"), python=str(ready)))
    assert raised.value.fault is Fault.WRONG_RESULT


def test_a_device_that_cannot_switch_a_link_is_sent_nothing(old: Bundle, tmp_path: Path) -> None:
    way = board(tmp_path / "pi", answers={"mv -T next": Completed(1, "", "Unknown option T")})
    with pytest.raises(DeviceError, match="cannot be replaced atomically") as raised:
        deploy(old, way)
    assert raised.value.fault is Fault.MISSING_PROGRAM
    assert "newer Android" in (raised.value.hint or "")
    assert not Path(way.root, "edgekit/files").exists()


def test_a_damaged_release_in_use_is_repaired_in_its_place(
    old: Bundle, quick: str, tmp_path: Path
) -> None:
    way = board(tmp_path / "pi", python=quick)
    deploy(old, way)
    model = Path(way.root, "edgekit/models/means/current", old.info.subject.file)
    folder = model.resolve().parent
    inode = folder.stat().st_ino
    model.unlink()
    assert deploy(old, way) is DeployState.DEPLOYED
    assert model.read_bytes() == old.files[model.name].read_bytes()
    assert folder.stat().st_ino == inode, "the folder in use was never away"
    assert {path.name for path in folder.iterdir()} == set(old.files)
    assert deploy(old, way) is DeployState.UNCHANGED


@pytest.mark.parametrize("name", ["..", "../files", ".hidden", "a/b", "", "a b"])
def test_a_name_that_leads_elsewhere(name: str, tmp_path: Path) -> None:
    with Device("pi5", board(tmp_path / "pi")) as device, pytest.raises(InputError):
        roll_back(device, name)


def test_what_releases_hold_is_kept_and_the_rest_goes(
    old: Bundle, quick: str, tmp_path: Path
) -> None:
    way = board(tmp_path / "pi", python=quick)
    deploy(old, way)
    files = Path(way.root, "edgekit/files")
    kept = files / sha256_of(old.files["agent.py"])
    stray = files / ("0" * 64)
    stray.write_text("of a release that is gone")
    deploy(tiny_bundle(tmp_path / "next", seed=5), way)
    assert kept.exists()
    assert not stray.exists()
