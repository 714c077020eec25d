"""From a folder of photos, or a model's file, to a recipe that can be planned."""

from __future__ import annotations

import io
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from edgekit.cli import starting
from edgekit.models.model_file import ModelFile
from edgekit.models.networks import create
from edgekit.setup import needs
from edgekit.spec.target import load_target
from tests.commands import edgekit
from tests.models.test_model_file import onnx_file

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(images_folder: Path) -> Path:
    return images_folder.parent


@pytest.fixture
def run(folder: Path) -> Run:
    def command(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = edgekit(*words, cwd=folder, store=folder / "store")
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return command


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.setup.choices.offline_weights", lambda arch: "scratch")


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize("name", ["images.yaml", "my first.yaml"])
def test_photos_become_a_recipe_and_the_next_command_can_be_pasted(
    run: Run, folder: Path, name: str
) -> None:
    said = run("init", "images", "--out", name).stdout
    *_, last = said.splitlines()
    command = shlex.split(last.removeprefix("next: "))
    assert command == ["edgekit", "build", name, "--target", "rpi"]
    assert "rpi/choose" in run("plan", *command[2:]).stdout
    recipe = yaml.safe_load((folder / name).read_text())
    assert recipe["model"]["weights"] == "scratch"
    assert recipe["data"] == {"source": "imagefolder", "path": "images", "image_size": 32}
    assert "gates" not in recipe
    assert "12 photos judge, each of them 8.3 points" in said
    assert len((folder / name).read_text().splitlines()) <= 20
    assert not list(folder.glob("draft-*"))


@pytest.mark.usefixtures("no_package")
def test_options_answer_every_question(run: Run, folder: Path) -> None:
    words = ["--image-size", "48x64", "--arch", "resnet18", "--epochs", "7", "--yes"]
    run("init", "images", "--target", "zero2w", *words)
    recipe = yaml.safe_load((folder / "images.yaml").read_text())
    assert recipe["model"]["arch"] == "resnet18"
    assert recipe["data"]["image_size"] == [48, 64]
    assert recipe["stages"][0]["finetune"]["epochs"] == 7


@pytest.mark.usefixtures("no_package")
def test_a_recipe_that_is_there_is_not_overwritten(run: Run, folder: Path) -> None:
    (folder / "images.yaml").write_text("mine")
    error = run("init", "images", code=2).stderr
    assert "images.yaml is there already" in error
    assert (folder / "images.yaml").read_text() == "mine"
    run("init", "images", "--force")
    assert (folder / "images.yaml").read_text() != "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no nowhere"),
        (["images/bar"], "24 images in no folder of a class"),
        (["images", "--image-size", "big"], "pixels expected"),
        (["images", "--weights", "pretrain"], "did you mean 'pretrained'?"),
        (["images", "--arch", "mobilenetv9"], "knows no architecture"),
        (["images", "--target", "rpj"], "no target 'rpj'"),
        (["images", "--out", "away/r.yaml"], "there is no folder away"),
        (["images", "--out", "recipe"], "recipe is no name of a recipe"),
        (["m.onnx"], "which photos"),
        (["n.onnx", "--data", "images"], "there is no n.onnx"),
        (["mm.onnx", "--data", "images"], "did you mean m.onnx?"),
        (["images/bar/00.png"], "neither a folder of photos nor a model"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(
    run: Run, folder: Path, words: list[str], message: str
) -> None:
    onnx_file(folder / "m.onnx", [1, 3, 32, 32], "Div", 255.0)
    there = set(folder.glob("*.yaml"))
    error = run("init", *words, code=2).stderr
    assert message in error
    assert set(folder.glob("*.yaml")) == there


@pytest.mark.usefixtures("no_package")
def test_faults_of_the_photos_are_told_as_plan_tells_them(run: Run, folder: Path) -> None:
    (folder / "images/bar/00.png").write_bytes(b"")
    (folder / "images/bar/01.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    error = run("init", "images", code=2).stderr
    assert "2 of 48 images" in error
    assert "repair or remove them, or give --skip-unreadable" in error
    assert not list(folder.glob("*.yaml"))
    said = run("init", "images", "--skip-unreadable").stdout
    assert "data: 2 images cannot be read" in said
    assert run("plan", "images.yaml", "--target", "rpi").stdout.count("cannot be read") == 1
    assert "# 46 photos, " in (folder / "images.yaml").read_text()


@pytest.mark.usefixtures("no_package")
def test_grey_photos_are_told(run: Run, folder: Path) -> None:
    for path in (folder / "images").rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert "data: all photos are grey" in run("init", "images").stdout


def test_an_onnx_file_becomes_a_recipe(run: Run, folder: Path) -> None:
    for shape in ("ring", "star"):
        shutil.copytree(folder / "images/bar", folder / "images" / shape)
        for i, path in enumerate(sorted((folder / "images" / shape).iterdir())):
            Image.open(path).rotate(90 if shape == "ring" else 45).resize((40, 40 + i)).save(path)
    onnx_file(folder / "m.onnx", [1, 3, 64, 96], "Div", 255.0)
    run("init", "m.onnx", "--data", "images")
    recipe = yaml.safe_load((folder / "m.yaml").read_text())
    assert recipe["model"] == {"weights": "m.onnx", "input_range": "0..255"}
    assert recipe["data"]["image_size"] == [64, 96]
    assert [*recipe["stages"][0]] == ["quantize"]


def test_a_checkpoint_with_other_classes_gets_a_new_head(run: Run, folder: Path) -> None:
    torch.save(
        {"state_dict": {"fc.weight": torch.zeros(7, 8)}, "arch": "resnet18"}, folder / "m.pt"
    )
    run("init", "m.pt", "--data", "images")
    recipe = yaml.safe_load((folder / "m.yaml").read_text())
    assert recipe["model"] == {"weights": "m.pt", "arch": "resnet18", "head": "new"}
    assert "finetune" in recipe["stages"][0]


def test_a_checkpoint_of_the_photos_classes_keeps_its_classifier(run: Run, folder: Path) -> None:
    save_file(create("resnet18", 2).state_dict(), folder / "m.safetensors")
    words = ["m.safetensors", "--data", "images", "--arch", "resnet18"]
    run("init", *words)
    recipe = yaml.safe_load((folder / "m.yaml").read_text())
    assert recipe["model"] == {"weights": "m.safetensors", "arch": "resnet18"}
    assert [*recipe["stages"][0]] == ["quantize"]
    error = run("init", *words, "--epochs", "5", "--force", code=2).stderr
    assert "--epochs: m.safetensors keeps its classifier" in error


def test_what_the_models_format_needs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        needs,
        "library_versions",
        lambda names: dict.fromkeys(names, "absent" if "tf2onnx" in names else "99"),
    )
    rpi = load_target("rpi")
    assert [*starting._missing(rpi, None)] == []
    assert [*starting._missing(rpi, ModelFile(Path("m.onnx"), "onnx"))] == []
    (line,) = starting._missing(rpi, ModelFile(Path("m.keras"), "keras"))
    assert line.startswith("rpi still needs: pip install 'tf2onnx")


@pytest.mark.usefixtures("no_package")
def test_the_next_command_has_the_same_store(folder: Path) -> None:
    done = edgekit("init", "images", "--store", "kept here", cwd=folder, store=folder / "store")
    command = "edgekit build images.yaml --target rpi --store 'kept here'"
    assert done.stdout.splitlines()[-1] == f"next: {command}"


@pytest.mark.usefixtures("no_package")
def test_names_of_folders_are_whole_and_stay_on_their_line(run: Run, folder: Path) -> None:
    (folder / "a\nseed: 1").mkdir()
    shutil.move(folder / "images", folder / "a\nseed: 1/v1.photos")
    run("init", "a\nseed: 1/v1.photos")
    text = (folder / "v1.photos.yaml").read_text()
    assert yaml.safe_load(text)["data"]["path"] == "a\nseed: 1/v1.photos"
    assert 'path: "a\\nseed: 1/v1.photos"' in text


@pytest.mark.usefixtures("no_package")
def test_a_split_that_nothing_uses_is_told(run: Run, folder: Path) -> None:
    for path in sorted((folder / "images").rglob("*.png")):
        split = ("train", "val", "test")[int(path.stem) % 3]
        into = folder / "parts" / split / path.parent.name
        into.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, into)
    run("init", "parts")
    first = (folder / "parts.yaml").read_text().splitlines()[0]
    assert "16 in test (unused)" in first
    assert first.count("to judge by") == 1


@pytest.mark.usefixtures("no_package")
def test_somebody_at_a_terminal_is_asked_five_questions_at_most(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"Target": "zero2w", "Pixels of a side, or HEIGHTxWIDTH": "64"}
    asked: list[str] = []

    def prompt(words: str, default: object, **_: object) -> object:
        asked.append(words)
        return answers.get(words, default)

    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr(starting, "somebody_is_there", lambda: True)
    assert "--target zero2w" in run("init", "images").stdout
    assert yaml.safe_load((folder / "images.yaml").read_text())["data"]["image_size"] == 64
    assert len(asked) <= 5
    asked.clear()
    run("init", "images", "--yes", "--force")
    assert asked == []


def test_a_question_that_is_left_open_writes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "somebody_is_there", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    said = run("init", "images", code=130).stderr
    assert "nothing was written" in said
    assert "finished" not in said
