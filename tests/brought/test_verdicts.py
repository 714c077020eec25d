"""Figures that cannot carry a verdict, and what is said of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from edgekit.cli import cli
from edgekit.errors import InputError
from edgekit.report.doubts import line_to_add
from edgekit.runtimes import find_runtimes
from edgekit.spec.target import load_target
from tests.brought import brought
from tests.commands import edgekit
from tests.conftest import write_images
from tests.devices.tiny import tiny_bundle

NOISE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages: [{finetune: {epochs: 1}}, {quantize: {method: ptq, samples: 8, max_float_macs: 1}}, export]
"""
BOARD = "description: a board\nruntimes: [onnxruntime]\ncpu: cortex-a76\nthreads: 1\n"


def write_noise(folder: Path, counts: dict[str, int]) -> None:
    """Pictures that have nothing to do with their classes."""
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose network can learn nothing, and a store that keeps it."""
    root = tmp_path_factory.mktemp("noise")
    write_noise(root / "images", {"a": 20, "b": 20, "c": 20})
    (root / "noise.yaml").write_text(NOISE)
    (root / "board.yaml").write_text(BOARD)
    return root


def report(folder: Path, name: str = "noise") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"build/{name}/board/report.json").read_text())
    return found


@brought(
    "Figures and verdicts",
    "A model that is no better than always naming the commonest class",
    "refused: untrained, exit code 3, and nothing is shipped",
)
def test_an_untrained_model_does_not_pass(noise: Path) -> None:
    words = ("build", "noise.yaml", "--target", "board.yaml")
    done = edgekit(*words, cwd=noise, store=noise / "store")
    assert done.returncode == 3
    assert "not significantly better than always naming the commonest class" in done.stderr
    assert "allow_untrained: true" in done.stderr
    assert "for board: untrained" in done.stdout
    found = report(noise)
    assert found["status"] == "untrained"
    assert found["chance"]["commonest"] == pytest.approx(100 / 3, abs=3)
    assert found["chance"]["p_value"] > 0.05
    folder = noise / "build/noise/board"
    page = (folder / "report.html").read_text()
    assert page.index("Ship nothing") < page.index('class="badges"')
    assert not (folder / "onnxruntime").exists()


@brought(
    "Figures and verdicts",
    "The same, in a recipe that says `allow_untrained: true`",
    "told: built and shipped, untrained in terminal, report and manifests, and when it is bundled",
)
def test_an_untrained_model_that_is_allowed_stays_untrained(noise: Path, tmp_path: Path) -> None:
    shutil.copytree(noise / "images", tmp_path / "images")
    (tmp_path / "noise.yaml").write_text(NOISE + "allow_untrained: true\n")
    for name in ("board", "twin"):
        (tmp_path / f"{name}.yaml").write_text(BOARD)
    both = ("--target", "board.yaml", "--target", "twin.yaml")
    done = edgekit("build", "noise.yaml", *both, cwd=tmp_path, store=noise / "store")
    assert done.returncode == 0, done.stderr
    assert "untrained: the float model" in done.stdout
    assert report(tmp_path)["status"] == "untrained"
    for name in ("comparison.md", "comparison.html"):
        page = (tmp_path / "build/noise" / name).read_text()
        assert "Nothing can be concluded" in page
        assert ">passed<" not in page
    folder = tmp_path / "build/noise/board/onnxruntime"
    assert json.loads((folder / "manifest.json").read_text())["verdict"] == "untrained"
    made = edgekit("bundle", folder, "--out", "carry", cwd=tmp_path, store=noise / "store")
    assert made.returncode == 0, made.stderr
    assert "model.onnx is untrained" in made.stderr


@brought(
    "Figures and verdicts",
    "A model that names the commonest class of a lopsided data set, and is right for 83 %",
    "refused: untrained; 83 % is what naming it reaches",
)
def test_a_high_accuracy_on_lopsided_classes_is_no_learning(noise: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / "images", {"good": 50, "bad": 10})
    (tmp_path / "noise.yaml").write_text(NOISE)
    (tmp_path / "board.yaml").write_text(BOARD)
    words = ("build", "noise.yaml", "--target", "board.yaml", "--json")
    done = edgekit(*words, cwd=tmp_path, store=noise / "store")
    assert done.returncode == 3
    assert json.loads(done.stdout)["status"] == "untrained"
    assert report(tmp_path)["chance"]["commonest"] > 75


@brought(
    "Figures and verdicts",
    "A model that was trained for too short, where an earlier build shipped a good one",
    "refused: untrained; what was shipped stays",
)
def test_what_was_shipped_outlives_an_untrained_build(noise: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    (tmp_path / "noise.yaml").write_text(NOISE + "allow_untrained: true\n")
    (tmp_path / "board.yaml").write_text(BOARD)
    words = ("build", "noise.yaml", "--target", "board.yaml")
    assert edgekit(*words, cwd=tmp_path, store=noise / "store").returncode == 0
    shipped = tmp_path / "build/noise/board/onnxruntime/model.onnx"
    before = shipped.read_bytes()
    (tmp_path / "noise.yaml").write_text(NOISE)
    assert edgekit(*words, cwd=tmp_path, store=noise / "store").returncode == 3
    assert shipped.read_bytes() == before
    assert report(tmp_path)["status"] == "untrained"


@pytest.fixture
def judged(noise: Path, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Build the same, held to gates; nothing is computed anew."""
    shutil.copytree(noise / "images", tmp_path / "images")
    for name in ("board", "twin"):
        (tmp_path / f"{name}.yaml").write_text(BOARD)

    def build(gates: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "noise.yaml").write_text(f"{NOISE}allow_untrained: true\ngates: {gates}\n")
        both = ("--target", "board.yaml", "--target", "twin.yaml")
        return edgekit("build", "noise.yaml", *both, cwd=tmp_path, store=noise / "store")

    return build


@brought(
    "Figures and verdicts",
    "A gate of one point on a dozen validation images",
    "told: cannot tell, in images, in terminal, report and comparison; the build goes on",
)
def test_a_gate_on_few_images_cannot_tell(
    judged: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = judged("{max_accuracy_drop: 1.0}")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"board: onnxruntime quantize, onnxruntime export: max_accuracy_drop cannot tell, so it "
        r"passes: .* limit 1 points: (\d+ (more|fewer)|as many) of \d+ images are right"
        r"( as before)?, and one image is \d+\.\d points",
        done.stdout,
    )
    (gate,) = report(tmp_path)["rows"][-1]["gates"]
    assert (gate["verdict"], gate["passed"], gate["certain"]) == ("cannot tell", True, False)
    assert "cannot tell, so it passes" in (tmp_path / "build/noise/board/report.html").read_text()
    for name in ("comparison.md", "comparison.html"):
        page = (tmp_path / "build/noise" / name).read_text()
        assert "max_accuracy_drop cannot tell" in page


@brought(
    "Figures and verdicts",
    "The same with `gates: {when_uncertain: fail}`",
    "refused: exit code 3, with the verdict cannot tell",
)
def test_a_recipe_may_ask_for_certainty(
    judged: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = judged("{max_accuracy_drop: 1.0, when_uncertain: fail}")
    assert done.returncode == 3
    assert "max_accuracy_drop cannot tell" in done.stderr
    assert report(tmp_path)["status"] == "broken"


@brought(
    "Figures and verdicts",
    "`when_uncertain: maybe`",
    "refused: exit code 2, with the line and the words that are known",
)
def test_an_unknown_word_for_uncertain_gates_is_refused(
    judged: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    done = judged("{max_accuracy_drop: 1.0, when_uncertain: maybe}")
    assert done.returncode == 2
    assert "line 5: gates.when_uncertain" in done.stderr
    assert "pass" in done.stderr


@brought(
    "Figures and verdicts",
    "A comparison of two targets, and then a build of one of them",
    "read: the other stays in the comparison; once the recipe has changed it is named as stale",
)
def test_a_build_of_one_target_leaves_the_comparison_alone(
    judged: Callable[[str], subprocess.CompletedProcess[str]], noise: Path, tmp_path: Path
) -> None:
    assert judged("{max_accuracy_drop: 90}").returncode == 0
    page = tmp_path / "build/noise/comparison.md"
    words = ("build", "noise.yaml", "--target", "board.yaml")
    done = edgekit(*words, cwd=tmp_path, store=noise / "store")
    assert done.returncode == 0, done.stderr
    assert "comparison.html" in done.stdout
    assert {"| board |", "| twin |"} <= set(re.findall(r"^\| \w+ \|", page.read_text(), re.M))
    recipe = (tmp_path / "noise.yaml").read_text()
    (tmp_path / "noise.yaml").write_text(recipe.replace("90", "80"))
    done = edgekit(*words, cwd=tmp_path, store=noise / "store")
    assert "twin is stale: " in done.stdout
    assert "| twin |" not in page.read_text()
    assert "twin is stale: " in page.read_text()


@brought(
    "Recipes and commands",
    "A target whose only runtime cannot read the model, beside one whose runtime can",
    "refused: exit code 2, once the other is built",
)
def test_a_target_that_has_no_other_runtime_is_no_success(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(noise / "images", tmp_path / "images")
    (tmp_path / "noise.yaml").write_text(f"{NOISE}allow_untrained: true\n")
    (tmp_path / "board.yaml").write_text(BOARD)
    (tmp_path / "other.yaml").write_text(BOARD.replace("onnxruntime", "litert"))
    monkeypatch.setattr(find_runtimes()["litert"], "reads", ("keras",))
    monkeypatch.chdir(tmp_path)
    both = ["--target", "board.yaml", "--target", "other.yaml", "--store", str(noise / "store")]
    result = CliRunner().invoke(cli, ["build", "noise.yaml", *both])
    assert isinstance(result.exception, InputError)
    assert "nothing could be built for other (litert does not read" in result.exception.message
    assert report(tmp_path)["status"] == "untrained"


def run_sh(folder: Path, *python: Path) -> subprocess.CompletedProcess[str]:
    words = ["sh", str(folder / "run.sh"), *map(str, python or (sys.executable,))]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@brought(
    "Machines",
    "A bundle for an NPU on a machine without one",
    "refused: two lines, what is missing and what to do; exit code 5",
)
def test_a_bundle_without_its_accelerator_ends_in_two_lines(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino comes with [intel-npu]")
    done = run_sh(tiny_bundle(tmp_path / "npu", needs=("openvino", "NPU")).folder)
    assert done.returncode == 5
    missing, what_to_do = done.stderr.splitlines()
    assert missing.startswith("this machine has no NPU that OpenVINO can use: it finds CPU")
    assert what_to_do.startswith("run it on a machine with one")


@brought(
    "Machines",
    "A bundle on a machine whose Python lacks the runtime, or numpy",
    "refused: two lines, what is missing and the line that installs it; exit code 5",
)
@pytest.mark.parametrize("module", ["onnxruntime", "numpy"])
def test_a_bundle_without_its_runtime_ends_in_two_lines(tmp_path: Path, module: str) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / f"{module}.py").write_text("raise ImportError('not here')")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={bare} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = run_sh(tiny_bundle(tmp_path / "bundle").folder, python)
    assert done.returncode == 5
    missing, what_to_do = done.stderr.splitlines()
    assert module in missing
    assert f"pip install {module}" in what_to_do


@brought(
    "Figures and verdicts",
    "A report for a phone, whose latency nothing here could measure",
    "read: the line that adds the device says adb, not ssh",
)
def test_the_hint_for_a_phone_says_adb() -> None:
    assert "--adb SERIAL" in line_to_add(load_target("android"))
    assert "--ssh USER@HOST" in line_to_add(load_target("rpi"))


@brought(
    "Figures and verdicts",
    "A training of several epochs",
    "read: validation accuracy after each epoch, in terminal and report, as a curve",
)
def test_a_training_leaves_its_curve(noise: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    text = re.sub(r"stages: .*", "stages: [{finetune: {epochs: 3}}]", NOISE)
    (tmp_path / "noise.yaml").write_text(text + "allow_untrained: true\n")
    (tmp_path / "board.yaml").write_text(BOARD)
    words = ("build", "noise.yaml", "--target", "board.yaml")
    done = edgekit(*words, cwd=tmp_path, store=noise / "store")
    assert done.returncode == 0, done.stderr
    found = report(tmp_path)
    curve = found["curves"]["finetune"]
    assert [point["epoch"] for point in curve["points"]] == [1, 2, 3]
    images = found["rows"][0]["validation"]["top1"]["samples"]
    assert (curve["split"], curve["images"]) == ("validation", images)
    last = curve["points"][-1]["accuracy"]
    assert last == pytest.approx(found["rows"][0]["validation"]["top1"]["value"], abs=0.01)
    assert f"{last:.1f} % after 3, on {images} images" in done.stdout
    page = (tmp_path / "build/noise/board/report.html").read_text()
    assert re.search('<polyline points="[^"]+" class="accuracy"', page)
    assert "chooses nothing" in page


@brought(
    "Figures and verdicts",
    "A cut network whose recovery was one epoch long",
    "told: nothing shows that it has converged, with the setting to raise",
)
@pytest.mark.slow
def test_a_recovery_that_has_not_converged_is_told(noise: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning", reason="torch-pruning comes with [compress]")
    write_images(tmp_path / "images")
    prune = (
        "{prune: {keep: 0.9, by: macs, runtime: onnxruntime, force: true, round_to: 1, "
        "recover: {epochs: 1, max_epochs: 1}}}"
    )
    stages = f"stages: [{{finetune: {{epochs: 1}}}}, {prune}]"
    text = re.sub(r"stages: .*", stages, NOISE)
    (tmp_path / "noise.yaml").write_text(text + "allow_untrained: true\n")
    (tmp_path / "board.yaml").write_text(BOARD)
    words = ("build", "noise.yaml", "--target", "board.yaml")
    done = edgekit(*words, cwd=tmp_path, store=noise / "store")
    assert done.returncode == 0, done.stderr
    assert "the recovery after the cut: one epoch does not tell" in done.stdout
    assert "prune.recover.epochs" in report(tmp_path)["remarks"]["prune"]
