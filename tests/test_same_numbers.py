"""The same bundle gives the same numbers on every way to the same processor, and its report says
that they are an emulated Arm's."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.devices.bench.bench import bench
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.bundle.make import make_bundle
from edgekit.devices.bundle.options import BundleOptions
from edgekit.devices.bundle.protocol import Protocol
from edgekit.devices.deploy.deploy import Deployment, on_each
from edgekit.devices.deploy.result import DeployState
from edgekit.devices.device import Device
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store, default_store
from edgekit.evidence import Evidence, Validity
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import execute
from edgekit.report.publish import publish
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target
from edgekit.transports.adb import Adb
from edgekit.transports.base import Transport
from edgekit.transports.emulated import Emulated
from edgekit.transports.emulation.cpus import CpuName
from tests.adbd import adb_server, phone
from tests.emulated import emulated
from tests.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

RECIPE = Path("recipes/mobilenet_int8.yaml")
LEAST_IMAGES = 200


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """build/mobilenet_int8/rpi, of the demo recipe."""
    root, store = tmp_path_factory.mktemp("same"), Store(default_store())
    recipe = load_recipe(RECIPE)
    plan = make_plan(recipe, [load_target("rpi")], store)
    publish(execute(plan, store, Silent()), root)
    return root / recipe.name / "rpi"


def bundle_for(built: Path, runtime: str, into: Path) -> Bundle:
    into.mkdir()
    return make_bundle(built / runtime, Store(default_store()), BundleOptions(Protocol()), into)


def measured(way: Transport, bundle: Bundle) -> DeviceReport:
    """Deployed, then measured from what was deployed."""
    (outcome,) = on_each({"board": way}, Deployment(bundle, bundle.release()).to)
    assert outcome.state is DeployState.DEPLOYED, outcome.error
    with Device("board", way) as device:
        return bench(bundle, device, lambda *_: None)


def test_over_ssh_over_adb_and_directly(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundle_for(built, "litert", tmp_path / "bundle")
    direct = emulated("cortex-a76")
    python = str(_python(direct))
    reports = [measured(direct.model_copy(update={"home": str(tmp_path / "home")}), bundle)]
    with Sshd(tmp_path / "server") as server:
        way = server.way().model_copy(update={"python": python})
        reports.append(measured(way, bundle))
    with adb_server(tmp_path, monkeypatch), phone(tmp_path) as device:
        android = Adb(serial=device.serial, home=str(tmp_path / "phone"), python=python)
        reports.append(measured(android, bundle))
    told = {r.correctness.model_dump_json() for r in reports}
    assert len(told) == 1, told
    for report in reports:
        holds(report, "cortex-a76")


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a76"])
def test_on_both_processors(built: Path, tmp_path: Path, cpu: CpuName, runtime: str) -> None:
    bundle = bundle_for(built, runtime, tmp_path / "bundle")
    way = emulated(cpu).model_copy(update={"home": str(tmp_path / "home")})
    holds(measured(way, bundle), cpu)


def holds(report: DeviceReport, cpu: str) -> None:
    """Top-1 and agreement of an Arm processor, and no latency at all."""
    found = report.correctness
    assert found.agreement
    assert found.top1
    assert found.top1.samples is not None
    assert found.top1.samples >= LEAST_IMAGES
    assert found.agreement.value >= 99.0
    assert report.evidence is Evidence.EMULATED
    assert (report.device.machine, report.device.cpu) == ("aarch64", cpu)
    assert report.latency_us is None
    assert "emulator" in report.not_available["latency_us"]
    assert report.validity is not Validity.INVALID


def _python(way: Emulated) -> Path:
    """The Arm Python, as other ways can be told to use it."""
    return Path(way.variables()["PATH"].split(":")[0]) / "python3"
