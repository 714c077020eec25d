"""Wherever the connection breaks, and whoever else is there: a whole release stays in use."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from edgekit.devices import lock
from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.deploy.deploy import Deployment
from edgekit.devices.deploy.health import Health
from edgekit.devices.deploy.releases import ReleaseStore, deployed_models
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.deploy.rollback import roll_back
from edgekit.devices.device import Device
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError
from edgekit.transports.fake import Fake
from tests.devices.stub import stub
from tests.devices.tiny import tiny_bundle


@pytest.fixture
def bundles(tmp_path: Path) -> list[Bundle]:
    return [tiny_bundle(tmp_path / name, seed=seed) for seed, name in enumerate(("old", "new"))]


@pytest.fixture
def python(bundles: list[Bundle], tmp_path: Path) -> str:
    return str(stub(bundles[0], tmp_path))


def deploy(bundle: Bundle, way: Fake, keep: int = 1, health: Health | None = None) -> DeployResult:
    with Device("pi5", way) as device:
        return Deployment(bundle, bundle.release(), keep, health=health or Health()).to(device)


def in_use(way: Fake, bundles: list[Bundle]) -> Bundle:
    """The bundle that `current` names, of which every file was read and is what it should be."""
    release = Path(way.root, "edgekit/models/means/current").resolve(strict=True)
    bundle = next(b for b in bundles if b.release() == release.name)
    for name, path in bundle.files.items():
        assert sha256_of(release / name) == sha256_of(path)
    return bundle


def copied(root: Path, to: Path) -> str:
    shutil.copytree(root, to, symlinks=True)
    return str(to)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["cut_before", "cut_after"])
def test_a_connection_cut_at_any_command_of_two_deployments(
    bundles: list[Bundle], python: str, tmp_path: Path, when: str
) -> None:
    cut_everywhere(bundles, python, tmp_path, when, 1)


@pytest.mark.parametrize("when", ["cut_before", "cut_after"])
def test_a_connection_cut_at_every_ninth_command(
    bundles: list[Bundle], python: str, tmp_path: Path, when: str
) -> None:
    cut_everywhere(bundles, python, tmp_path, when, 9)


def cut_everywhere(
    bundles: list[Bundle], python: str, tmp_path: Path, when: str, stride: int
) -> None:
    """From `old` in use to `new`, and on to `old` again, of which the release is there already; and
    a service always has what is in use once a deployment came to its end."""
    old, new = bundles
    service = Health(reload='readlink -f . > "$HOME/service"', check="true")
    before = Fake(root=str(tmp_path / "before"), python=python)
    deploy(old, before, health=service)
    for wanted, other in ((new, old), (old, new)):
        counted = Fake(root=copied(tmp_path / "before", tmp_path / "counted"), python=python)
        deploy(wanted, counted, health=service)
        for number in range(1, len(counted.commands) + 1, stride):
            root = copied(tmp_path / "before", tmp_path / "cut")
            way = Fake.model_validate({"root": root, "python": python, when: number})
            try:
                outcome = deploy(wanted, way, health=service)
            except DeviceError:
                assert in_use(way, bundles) is other, "what failed is not in use"
            else:
                assert outcome.state is DeployState.DEPLOYED
                assert in_use(way, bundles) is wanted
            again = deploy(wanted, way, health=service)
            assert again.state in (DeployState.DEPLOYED, DeployState.UNCHANGED)
            assert in_use(way, bundles) is wanted
            assert Path(root, "service").read_text().strip().endswith(wanted.release())
            assert not Path(root, "edgekit/.lock").exists()
            shutil.rmtree(root)
        shutil.rmtree(tmp_path / "before")
        (tmp_path / "counted").rename(tmp_path / "before")


def test_an_answer_lost_in_the_switch_is_asked_for_again(
    bundles: list[Bundle], python: str, tmp_path: Path
) -> None:
    old, new = bundles
    way = Fake(root=str(tmp_path / "pi"), python=python)
    deploy(old, way)
    way.cut_after = "current.new"
    outcome = deploy(new, way)
    assert outcome.state is DeployState.DEPLOYED
    assert "the connection broke" in (outcome.note or "")
    assert in_use(way, bundles) is new


def test_tidying_that_fails_is_a_note(bundles: list[Bundle], python: str, tmp_path: Path) -> None:
    way = Fake(root=str(tmp_path / "pi"), python=python, cut_before="'.*.part'")
    outcome = deploy(bundles[0], way)
    assert outcome.state is DeployState.DEPLOYED
    assert "older releases were not removed" in (outcome.note or "")


@pytest.mark.parametrize("same", [True, False])
def test_two_at_once(
    bundles: list[Bundle],
    python: str,
    tmp_path: Path,
    same: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "PAUSE_SECONDS", 0.01)
    before = Fake(root=str(tmp_path / "pi"), python=python)
    deploy(bundles[0], before)
    at_once(bundles, [bundles[1], bundles[1] if same else bundles[0]], before)
    assert in_use(before, bundles) in bundles


@pytest.mark.parametrize("same", [True, False])
def test_two_at_once_whom_no_lock_keeps_apart(
    bundles: list[Bundle],
    python: str,
    tmp_path: Path,
    same: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One may fail; none takes the release away that is in use."""
    monkeypatch.setattr(lock, "_acquire", lambda *_: None)
    before = Fake(root=str(tmp_path / "pi"), python=python)
    deploy(bundles[0], before)
    for _ in range(3):
        at_once(bundles, [bundles[1], bundles[1] if same else bundles[0]], before)
        in_use(before, bundles)


def at_once(bundles: list[Bundle], wanted: list[Bundle], before: Fake) -> None:
    """Threads, while another one looks at what is in use all the time."""

    def work(bundle: Bundle) -> None:
        way = Fake(root=before.root, python=before.python, delay=0.002)
        with suppress(DeviceError):
            deploy(bundle, way)

    threads = [threading.Thread(target=work, args=(bundle,)) for bundle in wanted]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        in_use(before, bundles)
    for thread in threads:
        thread.join()


def test_a_rollback_tests_the_release_s_own_files(
    bundles: list[Bundle], python: str, tmp_path: Path
) -> None:
    way = Fake(root=str(tmp_path / "pi"), python=python)
    for bundle in bundles:
        deploy(bundle, way)
    model = Path(way.root, "edgekit/models/means/previous", bundles[0].info.subject.file)
    model.unlink()
    model.write_bytes(b"something else")
    with Device("pi5", way) as device, pytest.raises(DeviceError, match="is damaged there"):
        roll_back(device, "means")
    assert in_use(way, bundles) is bundles[1]


def test_the_oldest_goes_by_the_order_of_their_coming_and_not_by_a_clock(
    bundles: list[Bundle], python: str, tmp_path: Path
) -> None:
    """A board without a clock, which leaps by years as it finds the network."""
    way = Fake(root=str(tmp_path / "pi"), python=python)
    releases = Path(way.root, "edgekit/models/means/releases")
    for number, bundle in enumerate([*bundles, tiny_bundle(tmp_path / "third", seed=9)]):
        deploy(bundle, way, keep=5)
        os.utime(releases / bundle.release(), (10**9 - number,) * 2)
    with Device("pi5", way) as device:
        listed = ReleaseStore(device, "means").listed()
    assert listed[1:] == [bundle.release() for bundle in reversed(bundles)]
    deploy(bundles[1], way, keep=2)
    assert {path.name for path in releases.iterdir()} == {listed[0], bundles[1].release()}


def test_releases_without_an_order_go_by_the_times_of_their_folders(
    bundles: list[Bundle], python: str, tmp_path: Path
) -> None:
    """As an older edgekit left them."""
    way = Fake(root=str(tmp_path / "pi"), python=python)
    place = Path(way.root, "edgekit/models/means")
    more = [tiny_bundle(tmp_path / f"b{n}", seed=n) for n in (5, 6)]
    coming = sorted((b.release() for b in [*bundles, *more[:1]]), reverse=True)
    for bundle in [*bundles, *more[:1]]:
        deploy(bundle, way, keep=5)
    (place / "order").unlink()
    for number, release in enumerate(coming):
        os.utime(place / "releases" / release, (10**9 + number,) * 2)
    with Device("pi5", way) as device:
        assert ReleaseStore(device, "means").listed() == coming[::-1]
    deploy(more[1], way, keep=5)
    with Device("pi5", way) as device:
        assert ReleaseStore(device, "means").listed() == [more[1].release(), *coming[::-1]]


def test_what_is_damaged_and_not_in_use_can_be_removed(
    bundles: list[Bundle], python: str, tmp_path: Path
) -> None:
    way = Fake(root=str(tmp_path / "pi"), python=python)
    for bundle in bundles:
        deploy(bundle, way)
    place = Path(way.root, "edgekit/models/means")
    for link in ("previous", "current"):
        (place / link / "agent.py").unlink()
    with Device("pi5", way) as device:
        assert ReleaseStore(device, "means").forget_damaged() == [bundles[0].release()]
        with pytest.raises(DeviceError, match="has no release before the one in use"):
            roll_back(device, "means")
    assert [path.name for path in (place / "releases").iterdir()] == [bundles[1].release()]


def test_a_release_in_use_that_is_gone(bundles: list[Bundle], python: str, tmp_path: Path) -> None:
    way = Fake(root=str(tmp_path / "pi"), python=python)
    deploy(bundles[0], way)
    shutil.rmtree(Path(way.root, "edgekit/models/means/current").resolve())
    with Device("pi5", way) as device:
        (model,) = deployed_models(device)
    assert model.is_lost
    assert deploy(bundles[0], way).state is DeployState.DEPLOYED
    assert in_use(way, bundles) is bundles[0]
