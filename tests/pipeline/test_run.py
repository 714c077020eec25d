"""The whole way, on a network that trains in seconds: real runtimes, real files."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import edgekit
from tests.conftest import write_images

RECIPE = """\
model: {{arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}}
data: {{source: imagefolder, path: {images}, image_size: 32}}
stages:
  - finetune: {{epochs: {epochs}, batch_size: 12, learning_rate: 3.0e-3}}
  - quantize: {{method: ptq, samples: {samples}}}
  - export
gates: {{max_accuracy_drop: {drop}}}
"""
TARGET = """\
description: a board for tests
runtimes: [litert, onnxruntime]
cpu: cortex-a76
threads: 4
"""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with images, a recipe and a target, and a store in which the recipe was built."""
    root = tmp_path_factory.mktemp("world")
    write_images(root / "images", count=48)
    (root / "tiny.yaml").write_text(RECIPE.format(images="images", epochs=8, samples=24, drop=50))
    (root / "board.yaml").write_text(TARGET)
    done = edgekit("build", "tiny.yaml", "--target", "board.yaml", cwd=root, store=root / "store")
    assert done.returncode == 0, done.stderr
    return root, root / "store"


@pytest.fixture
def copy(world: tuple[Path, Path], tmp_path: Path) -> Callable[..., Path]:
    """A fresh folder beside the same store, with the recipe changed as asked."""

    def make(**changes: object) -> Path:
        folder = tmp_path / "copy"
        shutil.copytree(world[0], folder, ignore=shutil.ignore_patterns("store"))
        values = {"images": "images", "epochs": 8, "samples": 24, "drop": 50, **changes}
        (folder / "tiny.yaml").write_text(RECIPE.format(**values))
        return folder

    return make


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "build/tiny/board/report.json").read_text())
    return found


def states(folder: Path) -> dict[str, str]:
    return {step["id"]: step["state"] for step in report(folder)["steps"]}


def test_a_build_leaves_everything_a_script_relies_on(world: tuple[Path, Path]) -> None:
    folder = world[0] / "build/tiny/board"
    for name in ("report.json", "report.md", "report.html", "manifest.json", "float.safetensors"):
        assert (folder / name).stat().st_size
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["choice"] in ("litert", "onnxruntime")
    for runtime, model in (("litert", "model.tflite"), ("onnxruntime", "model.onnx")):
        entry = manifest["artifacts"][runtime]
        assert (folder / runtime / model).stat().st_size == entry["files"][model]["bytes"]
        assert entry["precision"] == "int8"
        assert entry["input"]["dtype"] == "uint8"
        assert entry["input"]["shape"] == [1, 32, 32, 3]
        assert [s["id"] for s in entry["lineage"]][-1] == f"board/{runtime}/export"
        assert entry["verdict"] == "passed"


def test_without_a_device_a_bound_stands_for_the_latency(world: tuple[Path, Path]) -> None:
    made = report(world[0])
    assert set(made["bounds"]) == {"litert", "onnxruntime"}
    for bound in made["bounds"].values():
        assert bound["macs"] == made["rows"][0]["validation"]["macs"]
        assert bound["weight_bytes"] > 10_000
        assert bound["activation_bytes"] > 10_000
        assert bound["lower"]["evidence"] == "estimated"
        assert "lower bound" in bound["lower"]["method"]


def test_every_stage_is_validated_on_every_runtime(world: tuple[Path, Path]) -> None:
    rows = report(world[0])["rows"]
    assert [(r["runtime"], r["stage"]) for r in rows] == [
        (runtime, stage)
        for runtime in ("litert", "onnxruntime")
        for stage in ("finetune", "quantize", "export")
    ]
    for row in rows:
        validation = row["validation"]
        assert validation["top1"]["value"] > 70, "the tiny network has learned its images"
        if row["baseline"]:
            assert validation["agreement"]["value"] == 100
        else:
            assert validation["latency"]["ratio"]["evidence"] == "host"
            assert validation["size_ratio"]["value"] < 0.7


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_the_example_needs_only_numpy_and_the_runtime(
    world: tuple[Path, Path], runtime: str
) -> None:
    folder = world[0] / "build/tiny/board" / runtime
    blocked = "import sys; sys.modules.update(dict.fromkeys(['edgekit','torch','timm','PIL']));"
    run = f"{blocked} import runpy; runpy.run_path('classify.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", run], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    best = done.stdout.splitlines()[1].split()[0]
    golden = np.load(folder / "golden_scores.npy")[0]
    assert best == (folder / "labels.txt").read_text().split()[golden.argmax()]


def test_labels_travel_inside_the_files(world: tuple[Path, Path]) -> None:
    folder = world[0] / "build/tiny/board"
    with zipfile.ZipFile(folder / "litert/model.tflite") as archive:
        assert archive.read("labels.txt").decode().split() == ["bar", "disc"]


def test_an_unchanged_build_does_no_work(world: tuple[Path, Path]) -> None:
    before = (world[0] / "build/tiny/board/litert/model.tflite").stat().st_mtime_ns
    done = edgekit("build", "tiny.yaml", "--target", "board.yaml", cwd=world[0], store=world[1])
    assert done.returncode == 0
    assert set(states(world[0]).values()) == {"cached"}
    assert (world[0] / "build/tiny/board/litert/model.tflite").stat().st_mtime_ns == before


def test_changing_a_stage_reruns_it_and_what_follows(
    world: tuple[Path, Path], copy: Callable[..., Path]
) -> None:
    folder = copy(samples=16)
    plan = edgekit("plan", "tiny.yaml", "--target", "board.yaml", cwd=folder, store=world[1])
    assert re.search(r"images/calibration .* changed .*calibration.samples: 24 -> 16", plan.stdout)
    done = edgekit("build", "tiny.yaml", "--target", "board.yaml", cwd=folder, store=world[1])
    assert done.returncode == 0, done.stderr
    ran = {name for name, state in states(folder).items() if state != "cached"}
    assert "board/litert/quantize" in ran
    assert "board/litert/validate-export" in ran
    assert not ran & {"splits", "finetune", "reference", "board/litert/compile-finetune"}


def test_json_prints_the_report_and_nothing_else(world: tuple[Path, Path]) -> None:
    done = edgekit(
        "build", "tiny.yaml", "--target", "board.yaml", "--json", cwd=world[0], store=world[1]
    )
    assert json.loads(done.stdout)["schema_version"] == 3


def test_a_broken_gate_stops_with_3_and_keeps_what_was_shipped(
    world: tuple[Path, Path], copy: Callable[..., Path]
) -> None:
    folder = copy()
    (folder / "board.yaml").write_text(TARGET + "gates: {max_size_mb: 0.0001}\n")
    shipped = (folder / "build/tiny/board/litert/model.tflite").read_bytes()
    done = edgekit("build", "tiny.yaml", "--target", "board.yaml", cwd=folder, store=world[1])
    assert done.returncode == 3
    assert "litert export: max_size_mb broken" in done.stderr
    assert "limit 0.0001" in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "build/tiny/board/litert/model.tflite").read_bytes() == shipped
    kept = json.loads((folder / "build/tiny/board/last-passed/litert/manifest.json").read_text())
    assert kept["lineage"][-1]["id"] == "board/litert/quantize"
    assert report(folder)["status"] == "broken"


def test_a_gate_on_something_not_measured_is_an_error(
    world: tuple[Path, Path], copy: Callable[..., Path]
) -> None:
    folder = copy()
    (folder / "board.yaml").write_text(TARGET + "gates: {max_latency_ms: 5}\n")
    done = edgekit("build", "tiny.yaml", "--target", "board.yaml", cwd=folder, store=world[1])
    assert done.returncode == 2
    assert "max_latency_ms" in done.stderr


def start_build(folder: Path, store: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgekit", "build", "tiny.yaml", "--target", "board.yaml"],
        cwd=folder,
        env={**os.environ, "EDGEKIT_STORE": str(store)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for never came"
        time.sleep(0.02)


def test_kill_9_in_mid_training_changes_nothing(
    world: tuple[Path, Path], copy: Callable[..., Path], tmp_path: Path
) -> None:
    folder, store = copy(), tmp_path / "store"
    build = start_build(folder, store)
    wait_for(lambda: list(store.glob("partial/*/*/checkpoint.pt")))
    build.send_signal(signal.SIGKILL)
    build.wait()
    plan = edgekit("plan", "tiny.yaml", "--target", "board.yaml", "--json", cwd=folder, store=store)
    state = {step["step"]: step["state"] for step in json.loads(plan.stdout)["steps"]}
    assert state["source"] == "cached"
    assert state["finetune"] != "cached"
    done = edgekit("build", "tiny.yaml", "--target", "board.yaml", cwd=folder, store=store)
    assert done.returncode == 0, done.stderr
    assert same_models(folder, world[0])


def same_models(one: Path, other: Path) -> bool:
    names = ("float.safetensors", "litert/model.tflite", "onnxruntime/model.onnx")
    pairs = [[f / "build/tiny/board" / name for f in (one, other)] for name in names]
    return all(a.read_bytes() == b.read_bytes() for a, b in pairs)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kill_9_at_any_moment_changes_nothing(
    world: tuple[Path, Path], copy: Callable[..., Path], tmp_path: Path
) -> None:
    """Killed after 3, 6, 9, ... seconds, until one run is quick enough to come to its end."""
    folder, store = copy(), tmp_path / "store"
    shutil.rmtree(folder / "build")
    for kills in range(1, 60):
        build = start_build(folder, store)
        try:
            build.wait(timeout=3 * kills)
            break
        except subprocess.TimeoutExpired:
            build.send_signal(signal.SIGKILL)
            build.wait()
    assert build.returncode == 0
    assert kills > 1, "the build was killed at least once"
    assert same_models(folder, world[0])


def test_ctrl_c_exits_with_130_and_leaves_no_half_work(
    world: tuple[Path, Path], copy: Callable[..., Path], tmp_path: Path
) -> None:
    folder, store = copy(epochs=500), tmp_path / "store"
    build = start_build(folder, store)
    wait_for(lambda: list(store.glob("partial/*/*/checkpoint.pt")))
    build.send_signal(signal.SIGINT)
    _, stderr = build.communicate(timeout=60)
    assert build.returncode == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert not list((store / "temp").iterdir())


def test_two_builds_at_once_share_the_store_and_the_build_folder(
    world: tuple[Path, Path], copy: Callable[..., Path]
) -> None:
    folder = copy(samples=20)
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    builds = [start_build(f, world[1]) for f in (folder, folder, other)]
    for build in builds:
        _, stderr = build.communicate(timeout=240)
        assert build.returncode == 0, stderr
    ran = [{s for s, state in states(f).items() if state != "cached"} for f in (folder, other)]
    assert not ran[0] & ran[1], "no step ran twice"
    assert same_models(folder, other)


def test_a_publish_that_was_killed_is_taken_back(
    world: tuple[Path, Path], copy: Callable[..., Path]
) -> None:
    """As if killed between the two renames of a swap: only the hidden old folder is there."""
    folder = copy()
    target = folder / "build/tiny/board"
    (target / "litert").rename(target / ".litert.old")
    (target / ".onnxruntime.part-x").mkdir()
    (folder / "board.yaml").write_text(TARGET + "gates: {max_size_mb: 0.0001}\n")
    done = edgekit("build", "tiny.yaml", "--target", "board.yaml", cwd=folder, store=world[1])
    assert done.returncode == 3
    assert (target / "litert/model.tflite").is_file()
    assert not (target / ".onnxruntime.part-x").exists()


def test_a_corrupt_cached_model_is_never_published(
    world: tuple[Path, Path], copy: Callable[..., Path], tmp_path: Path
) -> None:
    folder = copy()
    store = tmp_path / "store"
    shutil.copytree(world[1], store)
    shipped = (folder / "build/tiny/board/litert/model.tflite").read_bytes()
    for model in store.glob("objects/*/model.tflite"):
        model.chmod(0o644)
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 255
        model.write_bytes(content)
    done = edgekit("build", "tiny.yaml", "--target", "board.yaml", cwd=folder, store=store)
    assert done.returncode == 4
    assert "is not what was stored" in done.stderr
    assert (folder / "build/tiny/board/litert/model.tflite").read_bytes() == shipped


def test_weights_are_not_judged_by_images_they_have_seen(
    world: tuple[Path, Path], copy: Callable[..., Path]
) -> None:
    folder = copy()
    recipe = (folder / "tiny.yaml").read_text()
    weights = "build/tiny/board/float.safetensors"
    recipe = recipe.replace("weights: scratch", f"weights: {weights}")
    (folder / "again.yaml").write_text(recipe)
    words = ("plan", "again.yaml", "--target", "board.yaml")
    assert edgekit(*words, cwd=folder, store=world[1]).returncode == 0
    (folder / "again.yaml").write_text(recipe.replace("image_size: 32", "image_size: 32, seed: 7"))
    done = edgekit(*words, cwd=folder, store=world[1])
    assert done.returncode == 2
    assert "accuracy is to be measured on" in done.stderr


def test_an_alternative_that_cannot_be_made_is_left_out_with_its_reason(
    copy: Callable[..., Path], world: tuple[Path, Path]
) -> None:
    pytest.importorskip("openvino", reason="openvino comes with [intel-npu]")
    folder = copy()
    (folder / "board.yaml").write_text(
        TARGET.replace("litert, ", "")
        + "alternatives:\n"
        + "  - {runtime: onnxruntime, quantizer: nncf}\n"
        + "  - {runtime: onnxruntime, io: integer}\n"
        + "  - {runtime: openvino, via: onnxruntime}\n"
    )
    done = edgekit("build", "tiny.yaml", "--target", "board.yaml", cwd=folder, store=world[1])
    assert done.returncode == 0, done.stderr
    made = report(folder)
    left_out, kept = made["left_out"], {"onnxruntime", "openvino-via-onnxruntime"}
    assert set(left_out) == {"onnxruntime-integer", "onnxruntime-nncf"}
    assert left_out["onnxruntime-integer"].startswith("export: ")
    # NNCF quantises a convolution and its swish as one, and ONNX Runtime has no such kernel.
    assert "multiply-accumulates stayed in float" in left_out["onnxruntime-nncf"]
    assert "another quantiser, runtime or architecture" in left_out["onnxruntime-nncf"]
    assert "Left out: onnxruntime-integer" in done.stdout
    manifest = json.loads((folder / "build/tiny/board/manifest.json").read_text())
    assert set(manifest["artifacts"]) == kept
    assert set(made["choice"]["ratios"]) == kept
    assert not (folder / "build/tiny/board/onnxruntime-integer").exists()


def test_inspect_compares_what_was_shipped_with_its_float_original(
    world: tuple[Path, Path],
) -> None:
    root, store = world
    for variant, kind in (("litert", "FULLY_CONNECTED"), ("onnxruntime", "Gemm")):
        folder = root / "build/tiny/board" / variant
        told = edgekit("inspect", folder, "--json", "--samples", 4, cwd=root, store=store)
        assert told.returncode == 0, told.stderr
        found = json.loads(told.stdout)
        tensors = found["inspection"]["tensors"]
        assert found["inspection"]["images"] == 4
        assert tensors[-1]["kind"] == kind
        assert tensors[-1]["sqnr_db"] == found["sqnr_db"] > 5
        assert found["sound"] == (not found["wrong"])
    shown = edgekit("inspect", folder, "--all", cwd=root, store=store)
    assert shown.returncode == 0, shown.stderr
    assert "The scores have" in shown.stdout
    assert shown.stdout.count("│ Conv ") > 3
