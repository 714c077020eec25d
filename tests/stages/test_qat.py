"""Training for int8: what it leaves lies on its grid, and it never ships what is no better."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from edgekit.engine.action import Context
from edgekit.engine.artifact import Artifact, Metadata
from edgekit.engine.store import Store
from edgekit.errors import DataError
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.quantization.fold_batch_norm import is_trivial
from edgekit.quantization.paired_check import paired_check
from edgekit.stages import qat
from edgekit.stages.finetune import Finetune
from edgekit.stages.qat import Qat

ARCH = "test_efficientnet"
CARD = Card(
    arch=ARCH, classes=("dark", "bright"), image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3,
    crop_pct=1.0, parameters=0, macs=0,
)  # fmt: skip
IMAGES = 60
Result = tuple[dict[str, Any], Any]


def keep(store: Store, name: str, fill: Callable[[Path], Metadata]) -> Artifact:
    with store.workspace() as folder:
        return store.commit(name, folder, fill(folder), (), 0)


def keep_split(
    store: Store, name: str, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Artifact:
    def fill(folder: Path) -> Metadata:
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", labels)
        return Metadata()

    return keep(store, name, fill)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """A trained network, and 60 images that are rather dark or rather bright."""
    root = tmp_path_factory.mktemp("learned")
    store = Store(root / "store")
    torch.manual_seed(0)
    labels = np.arange(IMAGES) % 2
    noise = np.random.default_rng(0).integers(0, 90, (IMAGES, 36, 36, 3))
    images = (noise + 30 * labels[:, None, None, None]).astype(np.uint8)

    model = timm_models.create(ARCH, 2)
    timm_models.reset_head(model)
    start = keep(store, "start", lambda folder: timm_models.save(model, CARD, folder))
    given = {"model": start, "train": keep_split(store, "train", images, labels)}
    stage = Finetune(epochs=3, batch_size=10, learning_rate=2e-3)
    return {**given, "model": keep(store, "model", lambda f: stage.run(given, f, quiet(root)))}


@pytest.fixture
def inputs(learned: dict[str, Artifact]) -> dict[str, Artifact]:
    """The same for every test, which may add others."""
    return dict(learned)


def quiet(partial: Path) -> Context:
    return Context(progress=lambda *_: None, partial=partial)


@pytest.fixture
def train(inputs: dict[str, Artifact], store: Store, tmp_path: Path) -> Callable[..., Result]:
    def run(name: str, stop_at: int = 10**9, **settings: object) -> Result:
        def progress(done: int, total: int, note: str) -> None:
            if done == stop_at:
                raise KeyboardInterrupt

        partial = tmp_path / f"{name}.partial"
        partial.mkdir(exist_ok=True)
        context = Context(progress=progress, partial=partial)
        stage = Qat.model_validate({"epochs": 3, "batch_size": 10, "samples": 8, **settings})
        made = keep(store, name, lambda folder: stage.run(inputs, folder, context))
        return made.metadata, timm_models.restore(made)[0]

    return run


@pytest.fixture
def always_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ship what was trained, whatever it is worth."""
    real = paired_check

    def better(*args: Any) -> Any:
        return real(*args).model_copy(update={"verdict": "better"})

    monkeypatch.setattr(qat, "paired_check", better)


def weights(model: Any) -> dict[str, torch.Tensor]:
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    return {n: m.weight.detach() for n, m in model.named_modules() if isinstance(m, kinds)}


@pytest.mark.usefixtures("always_better")
def test_what_it_leaves_lies_on_the_int8_grid(
    train: Callable[..., Result], inputs: dict[str, Artifact]
) -> None:
    metadata, model = train("trained")
    before = weights(timm_models.restore(inputs["model"])[0])
    for name, weight in weights(model).items():
        rows = weight.flatten(1).double()
        steps = rows / (rows.abs().amax(1, keepdim=True) / 127)
        assert (steps - steps.round()).abs().max() < 1e-4, name
        assert not torch.equal(weight, before[name])
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(is_trivial(norm) for norm in norms)
    assert metadata["ranges"]["image"][0] < -0.9
    for low, high in metadata["ranges"].values():
        assert low <= 0 <= high
        assert abs(-low / ((high - low) / 255) - round(-low / ((high - low) / 255))) < 1e-3
    assert metadata["training"]["epochs"] == 3


def test_validation_images_show_how_it_goes_and_change_nothing(
    train: Callable[..., Result], inputs: dict[str, Artifact], store: Store
) -> None:
    alone, expected = train("alone")
    images = np.load(inputs["train"].file("images.npy"))[:20, 2:34, 2:34]
    inputs["validation"] = keep_split(store, "validation", images, np.arange(20) % 2)
    shown, model = train("shown")
    curve = shown["curve"]
    assert (curve["split"], curve["images"]) == ("validation", 20)
    assert [point["accuracy"] is None for point in alone["curve"]["points"]] == [True] * 3
    assert all(0 <= point["accuracy"] <= 100 for point in curve["points"])
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_what_is_no_better_is_not_shipped(
    train: Callable[..., Result], inputs: dict[str, Artifact]
) -> None:
    metadata, model = train("idle", learning_rate=1e-12)
    start = timm_models.restore(inputs["model"])[0].state_dict()
    assert metadata["qat"]["verdict"] == "nothing to gain"
    assert "the weights before it are kept" in metadata["remark"]
    assert metadata["ranges"] == {}
    assert all(torch.equal(t, start[name]) for name, t in model.state_dict().items())
    for which in ("ptq", "qat"):
        assert set(metadata["qat"][which]) == {"top1", "agreement", "divergence"}


def test_what_is_worse_is_told_and_not_shipped(
    train: Callable[..., Result], inputs: dict[str, Artifact]
) -> None:
    metadata, model = train("far", learning_rate=1.0, warmup_epochs=0)
    start = timm_models.restore(inputs["model"])[0].state_dict()
    assert metadata["qat"]["verdict"] == "worse"
    assert "made it worse" in metadata["remark"]
    assert all(torch.equal(t, start[name]) for name, t in model.state_dict().items())


@pytest.mark.usefixtures("always_better")
@pytest.mark.parametrize("stop_at", [2, 7, 13])
def test_an_interrupted_training_ends_with_the_same_weights(
    train: Callable[..., Result], stop_at: int
) -> None:
    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("halves", stop_at=stop_at)
    again = train("halves")
    assert whole[0]["ranges"] == again[0]["ranges"]
    states = whole[1].state_dict(), again[1].state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.usefixtures("always_better")
def test_ranges_learn_until_they_are_frozen(train: Callable[..., Result]) -> None:
    fixed = train("fixed", freeze_ranges=0.0)[0]["ranges"]
    still = train("still", freeze_ranges=0.0, learning_rate=1e-12)[0]["ranges"]
    learned = train("learned", freeze_ranges=1.0)[0]["ranges"]
    assert fixed == still
    assert learned != fixed


@pytest.mark.usefixtures("always_better")
def test_the_float_network_teaches(train: Callable[..., Result]) -> None:
    taught, untaught = train("taught")[1], train("untaught", distill=None)[1]
    assert not torch.equal(*(m.state_dict()["classifier.weight"] for m in (taught, untaught)))


def test_it_counts_as_having_seen_the_training_images() -> None:
    assert Qat.distils
    assert not Qat.trains


def test_too_few_images_are_refused(
    train: Callable[..., Result], inputs: dict[str, Artifact], store: Store
) -> None:
    def few(folder: Path) -> Metadata:
        for name in ("images.npy", "labels.npy"):
            np.save(folder / name, np.load(inputs["train"].file(name))[:2])
        return Metadata()

    inputs["train"] = keep(store, "few", few)
    with pytest.raises(DataError, match="held back"):
        train("few-trained")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"held_back": 0.0}, "greater than 0"),
        ({"freeze_ranges": 1.5}, "less than or equal to 1"),
        ({"calibration": "entropy"}, "'minmax'"),
        ({"distill": {"weight": 0.0}}, "greater than 0"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"warmup_epochs": 3}, "must be below epochs"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Qat(**{"epochs": 2, **fields})
