"""A build that measures every stage on a device of the user's."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgekit.api.building import prepare, run
from edgekit.build_folder.report import Report
from edgekit.devices.bench import timing_device, validity, watched
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.bundle import protocol
from edgekit.devices.inventory import add_device
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.evaluation import measure, timing
from edgekit.evaluation.gates import Gates
from edgekit.evidence import Evidence
from edgekit.pipeline.plan import Plan, make_plan
from edgekit.pipeline.run import execute
from edgekit.report.publish import publish
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import Target
from edgekit.transports.emulated import Emulated
from edgekit.transports.fake import Fake
from edgekit.transports.local import Local
from tests.conftest import write_images
from tests.sshd import Sshd

pytest.importorskip("onnxslim")

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages: [{finetune: {epochs: 1}}, {quantize: {method: ptq, samples: 8, max_float_macs: 1}}, export]
allow_untrained: true
"""


NONE = Gates()
TARGET = """\
description: a board
runtimes: [onnxruntime]
cpu: x86-64
isa: x86-64
threads: 1
"""
QUICK = {"warmup_seconds": 0.05, "seconds": 0.2, "rounds": 40, "runs_a_round": 1}


class Remarks(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def remark(self, line: str) -> None:
        self.lines.append(line)


@dataclass
class World:
    root: Path
    store: Store

    def plan(self, way: Any, gates: Gates = NONE, **target: Any) -> Plan:
        told: Any = {"isa": "x86-64", "cpu": "x86-64", "threads": 1, **target}
        board = Target(
            name="board",
            description="a board",
            runtimes=("onnxruntime",),
            gates=gates,
            **told,
        )
        recipe = load_recipe(self.root / "tiny.yaml")
        given = TimingDevice("pi5", way, board)
        return make_plan(recipe, [board], self.store, board=given)

    def build(self, way: Any, **words: Any) -> tuple[Report | None, list[str], Path]:
        build = execute(self.plan(way, **words), self.store, Silent())
        published = publish(build, self.root / "build")
        report = published[0][0] if published else None
        return report, build.targets[0].faults, self.root / "build/tiny/board"


@pytest.fixture(scope="module", autouse=True)
def quick() -> Any:
    """A protocol of a second, on a machine that other tests keep busy: that it is followed, and
    what a busy machine does, are other tests'."""
    with pytest.MonkeyPatch.context() as patch:
        for limit in ("MAX_DRIFT", "DISTURBED", "MAX_SPREAD", "MAX_MEAN"):
            patch.setattr(validity, limit, math.inf)
        patch.setattr(watched, "STEADY_CLOCK", 0.0)
        patch.setattr(watched, "_unwatched", lambda result: ())
        patch.setattr(
            protocol.Protocol,
            "at",
            lambda self, threads: self.model_copy(
                update={
                    "threads": (threads,),
                    "runs": 20,
                    "seconds": 0.3,
                    "warmup_seconds": 0.1,
                    "processes": 2,
                }
            ),
        )
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("device"), Store(tmp_path_factory.mktemp("store")))
    write_images(made.root / "images")
    (made.root / "tiny.yaml").write_text(RECIPE)
    return made


@pytest.fixture
def here(world: World) -> Local:
    return Local(home=str(world.root / "home"), python=sys.executable)


def test_every_row_is_measured_there(world: World, here: Local) -> None:
    report, faults, folder = world.build(here)
    assert not faults
    assert report
    for row in report.rows:
        seen = row.on_device
        assert seen
        assert (seen.device, seen.evidence) == ("pi5", Evidence.MEASURED)
        assert seen.agreement.value == 100.0
        assert seen.median
        assert seen.median.unit == "ms"
        assert (seen.ratio is None) == row.baseline
        page = folder / "on-device" / f"{row.variant}-{row.stage}" / "device-report.html"
        assert "median latency" in page.read_text()
    assert "On pi5" in (folder / "report.html").read_text()
    assert "## On pi5" in (folder / "report.md").read_text()
    assert not any("no device took part" in line for line in report.not_measured)


def test_a_gate_in_milliseconds_means_that_device(world: World, here: Local) -> None:
    _, faults, _ = world.build(here, gates=Gates(max_latency_ms=1e-6))
    assert any("max_latency_ms broken" in fault for fault in faults)


def test_without_a_device_or_in_an_emulator_there_are_none(world: World) -> None:
    with pytest.raises(InputError, match="pi5 is emulated: it has no milliseconds"):
        world.plan(Emulated(cpu="cortex-a76"), gates=Gates(max_latency_ms=10.0))


def test_another_architecture_ends_the_target(world: World, here: Local) -> None:
    _, faults, _ = world.build(here, isa="armv8.2-a")
    assert len(faults) == 1
    assert "pi5 is x86_64, and board is aarch64" in faults[0]


def test_a_result_that_is_none_ends_the_target(world: World, tmp_path: Path) -> None:
    """And it is not kept: the next build measures again."""
    tool = tmp_path / "vcgencmd"
    tool.write_text('#!/bin/sh\ntest "$1" = get_throttled && echo throttled=0x4\n')
    tool.chmod(0o755)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPATH={tmp_path}:$PATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    way = Local(home=str(tmp_path / "home"), python=str(python))
    for _ in range(2):
        _, faults, _ = world.build(way)
        assert "the run on pi5 is no result" in faults[0]
        assert "throttled during the run" in faults[0]


def test_a_connection_that_breaks_ends_the_target(world: World, tmp_path: Path) -> None:
    way = Fake(root=str(tmp_path / "pi"), python=sys.executable, cut_push_after=100)
    _, faults, _ = world.build(way)
    assert "the connection broke" in faults[0]


def test_the_choice_is_the_devices(world: World, here: Local) -> None:
    two: dict[str, Any] = {"alternatives": (Variant(runtime="onnxruntime", quantizer="nncf"),)}
    for way, is_devices in ((here, True), (Emulated(cpu="cortex-a76"), False)):
        plan = world.plan(way, **two)
        (choose,) = (step for step in plan.steps if step.id == "board/choose")
        assert (choose.action.settings().get("device") == "pi5") is is_devices


@pytest.mark.slow
def test_devices_of_a_group_share_a_build_and_one_that_vanishes_is_set_aside(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(measure, "PROTOCOL", QUICK)
    monkeypatch.setattr(timing, "DISTURBED", math.inf)
    monkeypatch.setattr(timing_device, "PROTOCOL", QUICK)
    (tmp_path / "board.yaml").write_text(TARGET)
    with ExitStack() as stack:
        servers = {name: stack.enter_context(Sshd(tmp_path / name)) for name in ("pi-a", "pi-b")}
        for name, server in servers.items():
            add_device(name, server.way(groups=["pis"], python=sys.executable))
        watching = Remarks()
        plans = [
            prepare(
                world.root / "tiny.yaml", tmp_path / "board.yaml", None, "pis", (),
                tmp_path / f"build-{number}", store, watching,
            )
            for number, store in enumerate((world.store.root, tmp_path / "store"))
        ]  # fmt: skip
        (report,) = run(plans[0], watching).reports
        assert {row.on_device.device for row in report.rows if row.on_device} == {"pi-a"}
        assert report.spread, watching.lines
        assert {*report.spread.medians} == {"pi-a", "pi-b"}
        page = (tmp_path / "build-0/tiny/board/report.html").read_text()
        assert f"{report.spread.artifact} on 2 devices: median" in page
        servers["pi-a"].cut()
        (report,) = run(plans[1], watching).reports
        assert {row.on_device.device for row in report.rows if row.on_device} == {"pi-b"}
        assert report.spread is None
        assert "On pi-b" in (tmp_path / "build-1/tiny/board/report.md").read_text()
        assert all(row.on_device for row in report.rows)
