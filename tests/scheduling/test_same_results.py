"""Builds with workers come to what they come to without, whoever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.api import build, search, sweep
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step
from edgekit.engine.store import Store
from edgekit.model_search.sweep import SweepReport
from edgekit.scheduling import local
from tests.conftest import write_images
from tests.model_search.conftest import BOARD, RECIPE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
OVER = ["finetune.epochs=1,2", "quantize.samples=8,6"]
SPACE = """\
search:
  over: {model.arch: [test_efficientnet, test_wit], data.image_size: [32, 48]}
  epochs: 1
  images: 16
  held_back: 0.3
  front: 2
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_images(root / "images", count=24)
    (root / "board.yaml").write_text(BOARD)
    (root / "recipe.yaml").write_text(RECIPE)
    (root / "search.yaml").write_text(RECIPE + SPACE)
    return root


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PROGRAM", "tests.scheduling.hurried")


def swept(world: Path, store: str, workers: int, observer: Silent | None = None) -> SweepReport:
    return sweep(
        world / "recipe.yaml",
        world / "board.yaml",
        OVER,
        out=world / store / "out",
        store=world / store,
        workers=workers,
        observer=observer,
    )


TIMED = ("validate", "latency", "choose")
TIMES = {"latency", "of_float", "no_latency", "created"}


def files(store: Path) -> dict[str, str]:
    """Digests of all that is no timing, by the keys of its steps."""
    found = {}
    for entry in (store / "steps").glob("*.json"):
        artifact = Store(store).find(entry.stem)
        assert artifact
        if not {"validation.json", "latency.json", "choice.json"} & artifact.files.keys():
            found[entry.stem] = artifact.digest
    return found


def told(report: Any) -> Any:
    """A report without its times."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in TIMES}
        return [plain(each) for each in value] if isinstance(value, list) else value

    return plain(report.model_dump(mode="json"))


@pytest.fixture(scope="module")
def alone(world: Path) -> SweepReport:
    return swept(world, "alone", 1)


class KillsAWorker(Silent):
    """The one that trains, at the first sign of it."""

    def __init__(self) -> None:
        self.killed = 0

    def progressed(self, step: Step, done: int, total: int, note: str) -> None:
        if step.id == "finetune" and not self.killed:
            children = Path(f"/proc/self/task/{os.getpid()}/children")
            for task in Path("/proc/self/task").iterdir():
                for child in map(int, (task / "children").read_text().split()):
                    if b"tests.scheduling.hurried" in Path(f"/proc/{child}/cmdline").read_bytes():
                        self.killed = child
            assert children.exists()
            os.kill(self.killed, signal.SIGKILL)


def test_a_sweep_is_the_same_with_workers_one_of_which_is_killed(
    world: Path, alone: SweepReport
) -> None:
    watching = KillsAWorker()
    report = swept(world, "two", 2, watching)
    assert watching.killed
    assert files(world / "two") == files(world / "alone")
    assert told(report) == told(alone)


def head(world: Path, store: str = "head") -> subprocess.Popen[bytes]:
    words = ["sweep", "recipe.yaml", "--target", "board.yaml", "--workers", "2"]
    over = [word for each in OVER for word in ("--over", each)]
    return subprocess.Popen(
        [sys.executable, "-m", "edgekit", *words, *over, "--store", store, "--out", f"{store}/out"],
        cwd=world,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_sweep_goes_on_to_the_same_result(
    world: Path, alone: SweepReport, how: signal.Signals
) -> None:
    stopped = head(world)
    steps, end = world / "head/steps", time.monotonic() + 200
    before = len([*steps.glob("*.json")])
    while len([*steps.glob("*.json")]) < before + 3 and time.monotonic() < end:
        time.sleep(0.1)
    stopped.send_signal(how)
    assert stopped.wait(60) == (130 if how is signal.SIGINT else -signal.SIGKILL)
    if how is signal.SIGINT:
        report = swept(world, "head", 2)
        assert told(report) == told(alone)
        assert files(world / "alone").items() <= files(world / "head").items()


def test_a_second_interrupt_ends_a_command_as_the_first_does(world: Path) -> None:
    stopped, end = head(world, "twice"), time.monotonic() + 200
    while not [*(world / "twice/steps").glob("*.json")] and time.monotonic() < end:
        time.sleep(0.1)
    stopped.send_signal(signal.SIGINT)
    time.sleep(0.3)
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait(60) in (130, -signal.SIGINT)  # which a shell tells as 130 too


def test_a_search_is_the_same_with_workers(world: Path) -> None:
    def found(workers: int) -> Any:
        store = world / f"search-{workers}"
        options: dict[str, Any] = {"limits": ["size<=0.5MB"], "out": store / "out"}
        report = search(
            world / "search.yaml", world / "board.yaml", store=store, workers=workers, **options
        )
        assert report.recommended
        return report, files(store)

    one, two = found(1), found(2)
    assert [c.name for c in two[0].candidates] == [c.name for c in one[0].candidates]
    assert {c.name: c.top1 for c in two[0].candidates} == {
        c.name: c.top1 for c in one[0].candidates
    }
    assert one[1].items() <= two[1].items() or two[1].items() <= one[1].items()


def test_the_variants_of_a_build_are_the_same_with_workers(world: Path) -> None:
    (world / "two.yaml").write_text(BOARD.replace("[onnxruntime]", "[onnxruntime, litert]"))
    for workers in (1, 2):
        result = build(
            world / "recipe.yaml",
            world / "two.yaml",
            build_dir=world / f"build-{workers}",
            store=world / f"build-store-{workers}",
            workers=workers,
        )
        assert not result.failure
    assert files(world / "build-store-1") == files(world / "build-store-2")
