"""What `init` writes of a model's input after it has asked photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from edgekit.data.framing import Fit
from edgekit.errors import MissingPackage
from edgekit.evaluation.source_check import SourceCheckMetadata
from edgekit.setup.input_check import _likeliest_fit
from tests.brought.test_fit import (
    ends_of,
    save_model,
    see_negatives_alone,
    write_lying,
    write_pictures,
)
from tests.commands import edgekit

pytestmark = pytest.mark.usefixtures("trusted")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path)


def init(folder: Path, weights: NDArray[np.float32], *words: str) -> tuple[str, dict[str, Any]]:
    """What is said of the input, and the recipe."""
    save_model(folder / "m.onnx", weights)
    if "imagenet" in words:
        see_negatives_alone(folder / "m.onnx")
    options = [word for word in words if word != "imagenet"]
    command = ("m.onnx", "--data", "images", "--target", "board.yaml", *options)
    done = edgekit("init", *command, cwd=folder, store=folder / "store")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("model input: ")]
    return told[-1] if told else "", yaml.safe_load((folder / "m.yaml").read_text())


def test_a_fit_that_serves_better_than_the_guess_is_written(folder: Path) -> None:
    told, recipe = init(folder, ends_of(32, 32))
    assert "right with fit squash; 50.0 % with fit crop" in told
    assert ". By fit: squash 100.0 %, " in told
    assert recipe["data"]["fit"] == "squash"


@pytest.mark.parametrize(
    ("fits", "fit"),
    [
        ({"crop": 0.81, "squash": 0.74, "pad": 0.8}, "crop"),
        ({"squash": 0.8, "crop": 0.8}, "crop"),
        ({"crop": 0.8, "squash": 0.81}, "squash"),
        ({}, "crop"),
    ],
)
def test_of_fits_the_likeliest_is_taken(fits: dict[Fit, float], fit: str) -> None:
    found = SourceCheckMetadata(images=90, right=0.8, loss=0.5, fits=fits)
    assert _likeliest_fit(found, "crop") == fit
    assert _likeliest_fit(found.model_copy(update={"guesses": True}), "crop") == "crop"


def test_what_the_photos_confirm_is_said(folder: Path) -> None:
    for path in folder.glob("images/*/*/*.png"):
        Image.open(path).resize((32, 32)).save(path)
    told, recipe = init(folder, ends_of(32, 32))
    assert "100.0 % of 40 training photos are right with this input" in told
    assert recipe["model"] == {"weights": "m.onnx", "input_range": "0..1"}


def test_an_orientation_that_serves_better_than_the_guess_is_written(folder: Path) -> None:
    """A model that was trained elsewhere is guessed to have seen photos as they are stored."""
    write_lying(folder)
    assert init(folder, ends_of(32, 32))[1]["data"]["orientation"] == "as_stored"
    for path in folder.glob("images/*/*/*.png"):
        photo = Image.open(path)
        if exif := photo.getexif():
            photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path, exif=exif)
    told, recipe = init(folder, ends_of(32, 32), "--force")
    assert "orientation" not in recipe["data"]
    assert "right with fit squash, orientation upright; 50.0 % with fit crop, orient" in told


def test_an_order_of_the_classes_is_written(folder: Path) -> None:
    told, recipe = init(folder, ends_of(32, 32)[::-1].copy())
    assert recipe["model"]["classes"] == ["right", "left"]
    assert "fit squash, the classes in this order; 50.0 % with fit crop, the folders' order" in told


def test_the_users_own_range_stands(folder: Path) -> None:
    told, recipe = init(folder, ends_of(32, 32), "imagenet", "--input-range", "0..1")
    assert recipe["model"]["input_range"] == "0..1"
    assert "with input range imagenet and fit squash 100.0 %" in told
    assert "write input_range: imagenet" in told


def test_a_model_that_guesses_leaves_a_guess(folder: Path) -> None:
    told, recipe = init(folder, np.zeros((2, 3, 32, 32), np.float32))
    assert told.startswith("model input: a guess: under no input")
    assert recipe["model"] == {"weights": "m.onnx", "input_range": "0..1"}


def test_photos_are_not_asked_where_that_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.setup.input_check.settle_input", None)
    told, recipe = init(folder, ends_of(32, 32), "imagenet", "--no-check")
    assert told == ""
    assert recipe["model"] == {"weights": "m.onnx", "input_range": "0..1"}


def test_a_model_that_cannot_be_run_leaves_a_guess(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise MissingPackage("onnxruntime", "", "an ONNX file")

    monkeypatch.setattr("edgekit.models.foreign.scorer", lacking)
    told, _ = init(folder, ends_of(32, 32))
    assert told.startswith("model input: a guess: photos cannot be asked: ")
