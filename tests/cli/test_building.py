"""What a person sees when something is wrong: one message, what to do, the right exit code."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edgekit import __version__
from tests.commands import edgekit
from tests.pipeline.test_run import TARGET

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch}
data: {source: imagefolder, path: images, image_size: 32}
stages:
  - finetune: {epochs: 1, batch_size: 8}
  - quantize: {method: ptq, samples: 8}
  - export
allow_untrained: true
"""
WITH_WEIGHTS = RECIPE.replace("scratch", "given.pth").replace(
    "  - finetune: {epochs: 1, batch_size: 8}\n", ""
)


@pytest.fixture
def folder(tmp_path: Path, images_folder: Path) -> Path:
    shutil.copytree(images_folder, tmp_path / "here/images")
    (tmp_path / "here/board.yaml").write_text(TARGET)
    return tmp_path / "here"


@pytest.fixture
def fails(folder: Path, tmp_path: Path) -> Callable[..., str]:
    """Run a build that must fail cleanly; return what it said."""

    def run(recipe: str, code: int, *words: str, command: str = "build") -> str:
        (folder / "recipe.yaml").write_text(recipe)
        store = tmp_path / "store"
        done = edgekit(
            command, "recipe.yaml", "--target", "board.yaml", *words, cwd=folder, store=store
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) <= 30, "one screen"
        assert not (folder / "build/recipe/board/manifest.json").exists()
        assert not list(store.glob("temp/*"))
        return done.stderr

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that is full after 40 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    # Lazily: what failed there is held open by its traceback.
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_version_and_help(tmp_path: Path) -> None:
    done = edgekit("--version", cwd=tmp_path, store=tmp_path)
    assert __version__ in done.stdout
    assert "build" in edgekit("--help", cwd=tmp_path, store=tmp_path).stdout


@pytest.mark.parametrize("what", ["recipe", "target", "report"])
def test_schema_is_json_schema(what: str, tmp_path: Path) -> None:
    value = json.loads(edgekit("schema", what, cwd=tmp_path, store=tmp_path).stdout)
    assert value["type"] == "object"
    assert value["properties"]


def test_missing_recipe(tmp_path: Path) -> None:
    (tmp_path / "mobilenet.yaml").write_text("")
    done = edgekit("build", "mobilnet.yaml", "--target", "rpi", cwd=tmp_path, store=tmp_path)
    assert done.returncode == 2
    assert "did you mean mobilenet.yaml" in done.stderr


def test_unknown_target_and_unknown_option(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = edgekit("build", "r.yaml", "--target", "rpj", cwd=tmp_path, store=tmp_path)
    assert done.returncode == 2
    assert "'rpi'" in done.stderr
    assert edgekit("build", "--wat", cwd=tmp_path, store=tmp_path).returncode == 2


def test_every_mistake_in_a_recipe_is_told_at_once(fails: Callable[..., str]) -> None:
    said = fails("modle: 1\n" + RECIPE.replace("epochs: 1", "epocs: one"), 2)
    assert "'model'" in said
    assert "'epochs'" in said
    assert "line 1" in said
    assert "line 5" in said


def test_unknown_architecture_names_the_nearest(fails: Callable[..., str]) -> None:
    said = fails(RECIPE.replace("test_efficientnet", "mobilenetv4_conv_smal"), 2)
    assert "mobilenetv4_conv_small" in said


def test_missing_weights(fails: Callable[..., str]) -> None:
    assert "given.pth does not exist" in fails(WITH_WEIGHTS, 2)


def test_weights_of_another_architecture_name_the_keys(
    fails: Callable[..., str], folder: Path
) -> None:
    torch.save({"features.0.weight": torch.zeros(3)}, folder / "given.pth")
    said = fails(WITH_WEIGHTS, 2)
    assert "unexpected (1): features.0.weight" in said
    assert "missing" in said


def test_nan_weights(fails: Callable[..., str], folder: Path) -> None:
    save_file({"conv_stem.weight": torch.full((2,), torch.nan)}, folder / "given.safetensors")
    said = fails(WITH_WEIGHTS.replace(".pth", ".safetensors"), 2)
    assert "conv_stem.weight" in said


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this code must never run",))


def test_a_pickle_with_code_is_refused(fails: Callable[..., str], folder: Path) -> None:
    torch.save({"a": Payload()}, folder / "given.pth")
    said = fails(WITH_WEIGHTS, 2)
    assert "could run any code" in said
    assert "never run" not in said


def test_truncated_image_is_named(fails: Callable[..., str], folder: Path) -> None:
    for image in (folder / "images").rglob("*.png"):
        image.write_bytes(image.read_bytes()[:200])
    said = fails(RECIPE, 2)
    assert "cannot be read" in said
    assert ".png" in said


def test_empty_class_folder(fails: Callable[..., str], folder: Path) -> None:
    (folder / "images/empty").mkdir()
    said = fails(RECIPE, 2)
    assert "1 class folder without an image" in said
    assert "images/empty" in said


def test_a_class_missing_from_calibration(fails: Callable[..., str], folder: Path) -> None:
    said = fails(RECIPE.replace("samples: 8", "samples: 1"), 2)
    assert "1 calibration images cannot hold 2 classes" in said


def test_corrupt_store_is_an_integrity_error(
    fails: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    save_file({"stranger.weight": torch.zeros(2)}, folder / "given.safetensors")
    # Leaves splits and decoded images behind.
    fails(WITH_WEIGHTS.replace(".pth", ".safetensors"), 2)
    for images in tmp_path.glob("store/objects/*/images.npy"):
        images.chmod(0o644)
        images.write_bytes(b"x" * images.stat().st_size)
    said = fails(RECIPE, 4)
    assert "is not what was stored" in said
    assert "delete" in said


def test_a_full_disk(fails: Callable[..., str], small_disk: Path) -> None:
    said = fails(RECIPE, 2, "--store", str(small_disk / "store"))
    assert "no space left on the disk" in said
    assert "--store" in said


def test_debug_shows_the_traceback(folder: Path, tmp_path: Path) -> None:
    (folder / "recipe.yaml").write_text(WITH_WEIGHTS)
    words = ("build", "recipe.yaml", "--target", "board.yaml", "--debug")
    assert "Traceback" in edgekit(*words, cwd=folder, store=tmp_path).stderr


def test_plan_runs_nothing(folder: Path, tmp_path: Path) -> None:
    (folder / "recipe.yaml").write_text(RECIPE)
    # A process of its own: what libraries say as they are loaded would be said here.
    words = ["plan", "recipe.yaml", "--target", "board.yaml", "--json"]
    command = [sys.executable, "-m", "edgekit", *words, "--store", str(tmp_path / "s")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    told = json.loads(done.stdout)
    steps = told["steps"]
    assert told["notes"] == {"board/quantize": "method: ptq, int8 as the recipe says"}
    assert {step["state"] for step in steps} == {"new"}
    assert not (tmp_path / "s/objects").exists()
    assert not (folder / "build").exists()
    assert done.stderr == ""


def test_rows_that_list_an_image_again_are_told_and_count_once(
    folder: Path, tmp_path: Path
) -> None:
    images = sorted(path.relative_to(folder) for path in folder.glob("images/*/*.png"))
    rows = [f"{p},{p.parent.name},{'validation' if p.stem < '06' else 'train'}" for p in images]
    judged = [row for row in rows if row.endswith("validation")]
    (folder / "table.csv").write_text("\n".join(["path,label,split", *rows, *judged * 3]))
    table = RECIPE.replace("path: images", "path: table.csv")
    (folder / "recipe.yaml").write_text(
        table.replace("  - quantize: {method: ptq, samples: 8}\n", "")
    )
    (folder / "board.yaml").write_text(TARGET.replace("litert, ", ""))
    words = ("recipe.yaml", "--target", "board.yaml")
    said = "36 of 48 rows of the validation split list an image again; each image counts once"
    said += ", e.g. images/bar/00.png"
    plan = edgekit("plan", *words, cwd=folder, store=tmp_path / "s")
    assert f"data: {said}" in plan.stdout
    plan = edgekit("plan", *words, "--json", cwd=folder, store=tmp_path / "s")
    (problem,) = [p for p in json.loads(plan.stdout)["data"] if p["kind"] == "doubled"]
    assert problem["count"] == 36
    done = edgekit("build", *words, cwd=folder, store=tmp_path / "s")
    assert done.returncode == 0, done.stderr
    assert f"data: {said}" in done.stderr
    built = folder / "build/recipe/board"
    report = json.loads((built / "report.json").read_text())
    assert report["data"]["doubled"] == 36
    assert report["rows"][0]["validation"]["top1"]["samples"] == 12
    for page in ("report.md", "report.html"):
        assert said in (built / page).read_text()


def test_a_key_under_its_old_name_is_told_once(folder: Path, tmp_path: Path) -> None:
    old = RECIPE.replace("quantize: {", "quantize: {islands: none, ")
    assert old != RECIPE
    (folder / "recipe.yaml").write_text(old)
    done = edgekit("plan", "recipe.yaml", "--target", "board.yaml", cwd=folder, store=tmp_path)
    assert done.stderr.count("quantize.islands is now float_ops") == 1
    assert "islands" not in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere/rpi/litert"], "build/<recipe>/<target>/<variant>"),
        (["board.yaml"], "neither a variant's folder of a build nor the model in one"),
        (["a.onnx", "--float", "b.onnx"], "a.onnx is no file"),
        (["board.yaml", "--float", "board.yaml"], "known are .onnx, .tflite, .xml"),
        (["a.onnx", "--float", "b.onnx", "--mean", "half"], "one number or three"),
        (["a.onnx", "--samples", "0"], "--samples"),
    ],
)
def test_inspect_tells_what_it_lacks(
    words: list[str], said: str, folder: Path, tmp_path: Path
) -> None:
    done = edgekit("inspect", *words, cwd=folder, store=tmp_path / "store")
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
