"""Training: resumes to the same weights, learns, and says when it diverges."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgekit import models
from edgekit.action import Context
from edgekit.artifact import Artifact, Store
from edgekit.errors import InputError
from edgekit.models import Card
from edgekit.stages.finetune import Finetune

ARCH = "test_efficientnet"


@pytest.fixture
def inputs(store: Store) -> dict[str, Artifact]:
    """An untrained network, and 24 images that are dark or bright."""
    torch.manual_seed(0)
    model = models.create(ARCH, 2)
    models.reset_head(model)
    card = Card(
        arch=ARCH, classes=("dark", "bright"), image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3,
        crop_pct=1.0, parameters=0, macs=0,
    )  # fmt: skip
    labels = np.arange(24) % 2
    noise = np.random.default_rng(0).integers(0, 90, (24, 36, 36, 3))
    images = (noise + 150 * labels[:, None, None, None]).astype(np.uint8)
    with store.workspace() as folder:
        metadata = models.save(model, card, folder)
        torch_model = store.commit("model", folder, metadata, (), 0)
    with store.workspace() as folder:
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", labels)
        train = store.commit("train", folder, {}, (), 0)
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
        stage = Finetune(**{"epochs": 3, "batch_size": 8, "learning_rate": 2e-3, **settings})
        stage.run(inputs, into, Context(progress=progress, partial=partial, base=tmp_path))
        return load_file(into / models.WEIGHTS_FILE)

    return run


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
    weights = inputs["model"].file(models.WEIGHTS_FILE)
    teacher = {"arch": ARCH, "weights": str(weights)}
    taught = train("taught", distill={"teacher": teacher, "weight": 1.0})
    assert not same(taught, train("untaught"))


def test_the_teacher_file_enters_the_key(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    weights = inputs["model"].file(models.WEIGHTS_FILE)
    stage = Finetune(epochs=1, distill={"teacher": {"arch": ARCH, "weights": str(weights)}})
    assert stage.files(tmp_path) == {"teacher": weights}
