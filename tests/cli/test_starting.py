"""From a folder of photos, or a model's file, to a recipe that can be planned."""

from __future__ import annotations

import argparse
import io
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import torch
import yaml
from hypothesis import given
from PIL import Image
from safetensors.torch import save_file

from edgekit.cli import starting
from edgekit.models.model_file import ModelFile
from edgekit.models.networks import create
from edgekit.setup import needs
from edgekit.spec.target import load_target
from tests.commands import edgekit
from tests.models.test_model_file import onnx_file
from tests.mutations import damaged_text, fuzz, refusals

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
    *_, other, last = said.splitlines()
    command = shlex.split(last.removeprefix("next: "))
    assert command == ["edgekit", "build", name, "--target", "rpi"]
    searching = shlex.split(other.removeprefix("which network fits the device: "))
    assert searching == ["edgekit", "search", *command[2:], "--budget", "1h"]
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
        (["images/bar"], "is the path one folder too deep? The folder above is "),
        (["images", "--image-size", "big"], "pixels expected"),
        (["images", "--weights", "pretrain"], "did you mean 'pretrained'?"),
        (["images", "--arch", "mobilenetv9"], "knows no architecture"),
        (["images", "--target", "rpj"], "no target 'rpj'"),
        (["images", "--out", "away/r.yaml"], "there is no folder away"),
        (["images", "--out", "recipe"], "recipe is no name of a recipe"),
        (["m.onnx"], "which photos"),
        (["int8.onnx", "--data", "images"], "int8.onnx is quantised already"),
        (["images", "--data", "images"], "models are .onnx, .keras"),
        (["m.pt", "--data", "images", "--arch", "resnet34"], "its weights are of resnet18"),
        (["n.onnx", "--data", "images"], "there is no n.onnx"),
        (["mm.onnx", "--data", "images"], "did you mean m.onnx?"),
        (["images/bar/00.png"], "neither a folder of photos nor a model"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(
    run: Run, folder: Path, words: list[str], message: str
) -> None:
    onnx_file(folder / "m.onnx", [1, 3, 32, 32], "Div", 255.0)
    onnx_file(folder / "int8.onnx", [1, 3, 32, 32], "DequantizeLinear", 0.1)
    torch.save(
        {"state_dict": {"fc.weight": torch.zeros(2, 8)}, "arch": "resnet18"}, folder / "m.pt"
    )
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
    said = run("init", "m.pt", "--data", "images").stdout
    assert "model: it has 7 classes, and the photos have 2: a new classifier is trained" in said
    recipe = yaml.safe_load((folder / "m.yaml").read_text())
    assert recipe["model"] == {"weights": "m.pt", "arch": "resnet18", "head": "new"}
    assert "finetune" in recipe["stages"][0]


def test_a_checkpoint_of_the_photos_classes_keeps_its_classifier(run: Run, folder: Path) -> None:
    save_file(create("resnet18", 2).state_dict(), folder / "m.safetensors")
    photo, exif = folder / "images/bar/00.jpg", Image.Exif()
    exif[274] = 6
    Image.open(photo.with_suffix(".png")).save(photo, exif=exif)
    words = ["m.safetensors", "--data", "images", "--arch", "resnet18", "--no-check"]
    assert "data: 1 of 49 images taken as they are stored" in run("init", *words).stdout
    recipe = yaml.safe_load((folder / "m.yaml").read_text())
    assert recipe["model"] == {"weights": "m.safetensors", "arch": "resnet18"}
    assert recipe["data"]["orientation"] == "as_stored"
    assert [*recipe["stages"][0]] == ["quantize"]
    error = run("init", *words, "--epochs", "5", "--force", code=2).stderr
    assert "--epochs: m.safetensors keeps its classifier" in error


CHECKPOINT = ("m.pth.tar", "--data", "images", "--out", "m.yaml", "--force", "--no-check")
TIMM_ARGS = dict.fromkeys(("img_size", "input_size", "crop_pct", "mean", "std", "interpolation"))


def init_of_checkpoint(run: Run, folder: Path, args: object) -> tuple[str, dict[str, Any]]:
    """The recipe's text for a checkpoint of timm's train.py, and what it says of the images."""
    checkpoint = {"arch": "resnet18", "state_dict": create("resnet18", 2).state_dict()}
    torch.save(checkpoint | {"args": args}, folder / "m.pth.tar")
    run("init", *CHECKPOINT)
    text = (folder / "m.yaml").read_text()
    data = yaml.safe_load(text)["data"]
    return text, {key: data[key] for key in data.keys() - {"source", "path", "fit"}}


def test_a_checkpoint_of_timms_says_how_its_images_were_prepared(run: Run, folder: Path) -> None:
    said = {"img_size": 96, "crop_pct": 0.9, "interpolation": "nearest", "mean": [0.1, 0.2, 0.3]}
    text, data = init_of_checkpoint(run, folder, argparse.Namespace(**TIMM_ARGS | said))
    assert data == {"image_size": 96, "crop_pct": 0.9, "interpolation": "nearest"}
    assert "mean: [0.1, 0.2, 0.3]" in text
    assert "image_size: 96   # as the checkpoint's args say" in text


def test_what_timms_arguments_leave_open_is_as_timm_takes_it(run: Run, folder: Path) -> None:
    text, data = init_of_checkpoint(run, folder, argparse.Namespace(**TIMM_ARGS))
    assert data == {"image_size": 224, "crop_pct": 0.95}  # of timm's resnet18.a1_in1k
    assert "timm's for this architecture" in text


def test_what_timms_arguments_ask_and_edgekit_lacks_is_said(run: Run, folder: Path) -> None:
    said = {"crop_mode": "border", "crop_pct": 1.0, "interpolation": "random"}
    text, data = init_of_checkpoint(run, folder, argparse.Namespace(**TIMM_ARGS | said))
    assert data == {"image_size": 224, "interpolation": "bicubic"}
    assert "fit: pad   # the checkpoint says crop_mode border, which pads with the mean" in text
    assert "interpolation: bicubic   # the checkpoint says random; bicubic is taken" in text
    told = run("init", *CHECKPOINT).stdout
    assert "data.fit: the checkpoint says crop_mode border" in told


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("checkpoint-5.pth.tar", "checkpoint-5.yaml"), ("v1.2.pth", "v1.2.yaml"),
        ("m.tar", "m.yaml"), ("my.model.onnx", "my.model.yaml"),
    ],
)  # fmt: skip
def test_a_recipe_is_named_after_its_model_without_its_endings(name: str, recipe: str) -> None:
    assert starting._recipe_of(Path(name)) == Path(recipe)


def test_a_size_that_no_argument_tells_is_called_a_guess(run: Run, folder: Path) -> None:
    text, data = init_of_checkpoint(run, folder, argparse.Namespace(lr=0.1))
    assert data.keys() == {"image_size"}
    assert f"image_size: {data['image_size']}   # a guess" in text


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


@pytest.mark.usefixtures("no_package")
def test_unreadable_photos_are_refused_before_any_question(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "somebody_is_there", lambda: True)
    monkeypatch.setattr(click, "prompt", lambda *_, **__: pytest.fail("it asked"))
    (folder / "images/bar/00.png").write_bytes(b"")
    assert "1 of 48 images" in run("init", "images", code=2).stderr


def test_ctrl_c_outside_a_question_is_told_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgekit.setup.photos.take_inventory", interrupted)
    told = run("init", "images", code=130).stderr.strip()
    assert told == "error: interrupted; a recipe is written whole or not at all"


def test_a_question_that_is_left_open_writes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "somebody_is_there", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    said = run("init", "images", code=130).stderr
    assert "nothing was written" in said
    assert "finished" not in said


@fuzz
@given(text=damaged_text("96x128"))
def test_a_size_of_any_text_is_refused_or_one_that_a_recipe_takes(text: str) -> None:
    with refusals():
        assert all(16 <= side <= 2048 for side in starting._size_of(text))
