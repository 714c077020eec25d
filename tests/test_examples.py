"""The examples run as they are; the scripts among them in test_example_scripts.py."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.agent import agent
from tests.commands import edgekit
from tests.comparison.samples import write_build

EXAMPLES = Path(__file__).parents[1] / "examples"
PICAMERA2 = """
import numpy as np

class Picamera2:
    __enter__ = lambda self: self
    __exit__ = start = lambda self, *_: None

    def create_video_configuration(self, main):
        assert main["format"] == "BGR888"
        return main

    def configure(self, how):
        self.main = how

    def capture_array(self, name):
        return np.load("frame.npy")
"""
"""A camera that always sees the same frame."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(EXAMPLES / "own_data", folder / "own_data")
    words = ("build", "own_data/recipe.yaml", "--target", "rpi")
    done = edgekit(*words, cwd=folder, store=folder / "store")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build/own_data/rpi"


def test_own_data_is_learned(built: Path) -> None:
    rows = json.loads((built / "report.json").read_text())["rows"]
    assert all(row["validation"]["top1"]["value"] > 80 for row in rows)


@pytest.mark.parametrize("file", ["litert/model.tflite", "onnxruntime/model.onnx"])
def test_classify_image_gives_the_golden_scores(built: Path, file: str) -> None:
    folder = (built / file).parent
    Image.fromarray(np.load(folder / "golden_input.npy")[0]).save(built / "photo.png")
    words = [EXAMPLES / "classify_image.py", built / file, built / "photo.png"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    label, score = done.stdout.splitlines()[0].split()
    scores = np.load(folder / "golden_scores.npy")[0]
    assert label == (folder / "labels.txt").read_text().split()[scores.argmax()]
    # Golden scores have exact integer sums. ONNX Runtime's own kernels saturate on x86 without dot
    # products, and then differ in the second digit, as docs/targets.md says.
    exact = file.endswith(".tflite") or agent.int8_instructions()
    assert float(score) == pytest.approx(scores.max(), abs=1e-3 if exact else 0.1)


def camera(folder: Path, *words: object, path: str = "") -> list[str]:
    """What examples/pi_camera.py prints, where no edgekit can be imported."""
    program = folder / "pi_camera.py"
    shutil.copyfile(EXAMPLES / "pi_camera.py", program)
    done = subprocess.run(
        [sys.executable, program, *map(str, words)], cwd=folder, capture_output=True, text=True,
        check=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.parametrize("variant", ["litert", "onnxruntime"])
def test_the_camera_sees_what_classify_sees(built: Path, tmp_path: Path, variant: str) -> None:
    shutil.copytree(built / variant, tmp_path / variant)
    (tmp_path / "photos").mkdir()
    pixels = np.load(tmp_path / variant / "golden_input.npy")[0]
    Image.fromarray(pixels).save(tmp_path / "photos/one.png")
    program = tmp_path / variant / "classify.py"
    told = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    best = told.stdout.splitlines()[1].split()
    (line,) = camera(tmp_path, variant, "--source", "photos")
    assert line.split()[:3] == ["one.png", *best]
    np.save(tmp_path / "frame.npy", pixels)
    (tmp_path / "picamera2.py").write_text(PICAMERA2)
    lines = camera(tmp_path, variant, "--frames", 2, path=str(tmp_path))
    assert [line.split()[:3] for line in lines] == [["camera", *best]] * 2


def test_solar_cells_ends_with_a_classified_cell(built: Path, tmp_path: Path) -> None:
    """Its build is the one of test_demo.py."""
    pytest.importorskip("elpv_dataset", reason="the demo's images are a package of [demo]")
    shutil.copytree(built, tmp_path / "build/mobilenet_int8/rpi")
    (tmp_path / "edgekit").write_text('#!/bin/sh\necho "$@" > words\n')
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for name in ("edgekit", "python"):
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    script = ["sh", str(EXAMPLES / "solar_cells.sh")]
    done = subprocess.run(
        script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    photo, best, *_ = done.stdout.splitlines()
    assert photo.endswith("cell0001.png")
    assert best.split()[0] in ("round", "square")
    recipe = (tmp_path / "words").read_text().split()[1]
    assert (EXAMPLES.parent / recipe).is_file()


def test_the_notebook_runs(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Jupyter's own kernel; cells that end in a result show it as a page."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("EDGEKIT_STORE", str(built.parents[2] / "store"))
    notebook = nbformat.read(EXAMPLES / "edgekit.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
    where = {"metadata": {"path": str(built.parents[2])}}
    nbclient.NotebookClient(notebook, kernel_name="python3", resources=where).execute()
    shown = [output.get("data", {}).get("text/html", "") for c in cells for output in c.outputs]
    pages = [page for page in shown if "<iframe" in page]
    assert len(pages) == 2
    assert "own_data" in pages[0]
    assert not any(output.output_type == "error" for c in cells for output in c.outputs)


def test_the_readmes_commands_for_ones_own_photos_run(images_folder: Path, tmp_path: Path) -> None:
    section = (EXAMPLES.parent / "README.md").read_text().split("## Your own photos")[1]
    lines = [line.partition(" # ")[0] for line in section.split("\n\n## ")[0].splitlines()]
    first, second, search, recipe = (
        shlex.split(line)[1:] for line in lines if line.startswith("    edgekit ")
    )
    images_folder.rename(tmp_path / "photos")
    for words in (first, ["plan", *second[1:]]):  # building it takes minutes
        done = edgekit(*words, cwd=tmp_path, store=tmp_path / "store")
        assert done.returncode == 0, done.stderr
    assert "litert/quantize" in done.stdout
    # So does searching: it is refused for its space alone, after everything else was read.
    done = edgekit(*search, "--over", "data.image_size=96", cwd=tmp_path, store=tmp_path / "store")
    assert "the space holds one recipe" in done.stderr
    done = edgekit(*recipe[:-2], cwd=tmp_path, store=tmp_path / "store")
    assert "no search 'photos-rpi4'" in done.stderr


def test_the_comparison_of_the_docs_runs_and_fails_for_what_is_worse(tmp_path: Path) -> None:
    (line,) = [
        line.split() for line in (EXAMPLES.parent / "docs/compare.md").read_text().splitlines()
        if line.startswith("    edgekit compare ") and line.endswith("--fail-if worse")
    ]  # fmt: skip
    _, _, first, second, *options = line
    write_build(tmp_path / first)
    write_build(tmp_path / second, wrong=range(8))
    done = edgekit("compare", first, second, *options, cwd=tmp_path, store=tmp_path / "store")
    assert done.returncode == 3
    assert "B against A: accuracy is worse: 20.0 points lower" in done.stderr
