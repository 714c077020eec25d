"""Without extras edgekit reads, compares, deploys and measures; it builds nothing itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_comparing import resealed
from tests.light import HEAVY, Desk, desk_in, without_extras

pytest.importorskip("onnxruntime")

WORKS = [
    "--help",
    "targets",
    "targets --json",
    "stages",
    "stages quantize --json",
    "schema recipe",
    "schema target",
    "schema report",
    "device list",
    "compare good/rpi worse/rpi",
    "compare good/rpi worse/rpi --no-timing --json --html page.html",
    "compare pi4 pi5",
    "import stick/result.json",
    "import stick/result.json --json --out again",
]
SERVE = "pip install 'edgekit-vision[serve]'"
RUN, BUILD = "pip install 'edgekit-vision[run]'", "pip install 'edgekit-vision[build]'"
NEEDS = {
    "inspect good/rpi/onnxruntime/model.onnx --float good/rpi/onnxruntime/model.onnx": RUN,
    "estimate good/rpi --target rpi5": RUN,
    "bundle means.onnx --out b.tar": RUN,
    "bench means.onnx --device here": RUN,
    "plan recipe.yaml --target rpi": BUILD,
    "build recipe.yaml --target rpi": BUILD,
    "init . --target rpi": BUILD,
    "serve .": SERVE,
}
"""What needs an extra, and the line that is told."""
RECIPE = """
model: {arch: resnet18, weights: scratch}
data: {source: imagefolder, path: ., image_size: 32}
stages: [finetune: {epochs: 1}, quantize: {precision: int8}]
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    root = tmp_path_factory.mktemp("light")
    folder = root / "desk"
    folder.mkdir()
    made = desk_in(folder, Path(sys.executable), without_extras(root / "site"))
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "bundle-means.onnx").rename(folder / "means.onnx")
    place = f"--home {folder}/board --python {folder}/device-python"
    added = made.run(f"device add here --local {place} --unchecked")
    assert added.returncode == 0, added.stderr
    return made


def test_nothing_of_an_extra_can_be_imported(desk: Desk) -> None:
    code = f"""
import importlib
for name in {HEAVY!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(name)
"""
    subprocess.run([sys.executable, "-c", code], env=desk.environment, check=True)


@pytest.mark.parametrize("line", WORKS)
def test_it_works_without_extras(desk: Desk, line: str) -> None:
    done = desk.run(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


@pytest.mark.parametrize("line", NEEDS)
def test_what_needs_an_extra_names_it(desk: Desk, line: str) -> None:
    done = desk.run(line)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"hint: {NEEDS[line]}" in done.stderr


def test_a_comparison_of_builds_tells_accuracy_and_why_not_latency(desk: Desk) -> None:
    worse = desk.folder / "worse/rpi/onnxruntime/model.onnx"
    worse.write_bytes(worse.read_bytes() + b"\x72\x00")  # an empty field: another file
    resealed(worse)
    (pair,) = json.loads(desk.run("compare good/rpi worse/rpi --json").stdout)["pairs"]
    assert pair["accuracy"]["verdict"] == "worse"
    (latency,) = pair["latency"]
    assert (latency["verdict"], latency["ratio"]) == ("cannot tell", None)
    assert "onnxruntime" in latency["reason"]


def test_doctor_tells_what_builds(desk: Desk) -> None:
    """By what is installed, which is also what cannot be imported here; tests/test_wheel.py holds
    that of a light installation nothing builds."""
    done = desk.run("doctor --json")
    found = json.loads(done.stdout)
    known = json.loads(desk.run("targets --json").stdout)
    assert found["targets"] == known
    ready = any(not target["install"] for target in known)
    assert (done.returncode, done.stderr == "") == ((0, True) if ready else (2, False))
    installed = {one["name"] for libraries in found["libraries"].values() for one in libraries}
    assert {"click", "onnxruntime", "torch"} <= installed


def test_a_bundle_goes_to_a_device_and_is_measured_there(desk: Desk) -> None:
    done = desk.run("deploy stick --device here")
    assert done.returncode == 0, done.stderr
    done = desk.run("bench stick --device here --out measured")
    assert done.returncode in (0, 5), done.stderr  # 5: other jobs disturbed the timing
    assert "same class as on the host: 100.0" in done.stdout
    assert desk.run("compare measured pi5").returncode == 0
