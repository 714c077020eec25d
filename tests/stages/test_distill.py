"""Distillation: scores of fixed views are kept, reused, and learned from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from edgekit.data.size import Size
from edgekit.data.splits import SplitsMetadata
from edgekit.engine.action import Context
from edgekit.engine.artifact import Artifact, Metadata
from edgekit.engine.step import Step, StepState
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.engine.user_paths import loaded_from
from edgekit.errors import DataError, InputError, WeightsError
from edgekit.models import timm_models
from edgekit.models.card import WEIGHTS_FILE, Card
from edgekit.pipeline.plan import Plan, make_plan
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target
from edgekit.stages._augment import Views
from edgekit.stages._linear_head import fit_head
from edgekit.stages._teacher import SCORES_FILE
from edgekit.stages.distill import SCORES, Distillation
from edgekit.stages.finetune import Finetune

ARCH, SIZE, COUNT = "test_efficientnet", 32, 24
CARD = Card(
    arch=ARCH, classes=("dark", "bright"), image_size=SIZE, mean=(0.5,) * 3, std=(0.5,) * 3,
    crop_pct=1.0, parameters=0, macs=0,
)  # fmt: skip
TEACHER = {"arch": ARCH, "weights": "teacher.safetensors"}
VIEWS = {"count": 2, "rotate": 20, "vertical_flip": True}
MakePlan = Callable[..., Plan]


def context(tmp_path: Path, name: str, stop_at: int = 10**9) -> Context:
    def progress(done: int, total: int, note: str) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    partial = tmp_path / f"{name}.partial"
    partial.mkdir(exist_ok=True)
    return Context(progress=progress, partial=partial)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """An untrained network, and images that are dark or bright."""
    store = Store(tmp_path_factory.mktemp("inputs"))
    torch.manual_seed(0)
    model = timm_models.create(ARCH, 2)
    timm_models.reset_head(model)
    labels = np.arange(COUNT) % 2
    noise = np.random.default_rng(0).integers(0, 90, (COUNT, 36, 36, 3))
    with store.workspace() as folder:
        metadata = timm_models.save(model, CARD, folder)
        torch_model = store.commit("model", folder, metadata, (), 0)
    with store.workspace() as folder:
        np.save(folder / "images.npy", (noise + 150 * labels[:, None, None, None]).astype(np.uint8))
        np.save(folder / "labels.npy", labels)
        train = store.commit("train", folder, Metadata(), (), 0)
    with store.workspace() as folder:
        (folder / "splits.json").write_text("{}")
        divided = SplitsMetadata(classes=CARD.classes, fingerprint="f" * 64, counts={})
        splits = store.commit("splits", folder, divided, (), 0)
    return {"model": torch_model, "train": train, "splits": splits}


@pytest.fixture(scope="module")
def learned(inputs: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a network that has learned the classes."""
    stage = Finetune(epochs=8, batch_size=8, learning_rate=3e-3)
    into = tmp_path_factory.mktemp("teacher")
    stage.run(inputs, into, context(into, "learned"))
    return into / WEIGHTS_FILE


@pytest.fixture
def teacher(learned: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copyfile(learned, tmp_path / TEACHER["weights"]))


Scorer = Callable[..., Artifact]
Student = Callable[..., dict[str, torch.Tensor]]


@pytest.fixture
def score(inputs: dict[str, Artifact], teacher: Path, store: Store, tmp_path: Path) -> Scorer:
    """The scores that a stage prepares, as an artifact."""

    def run(name: str = "scores", stop_at: int = 10**9, **fields: object) -> Artifact:
        settings = {"teacher": TEACHER, "epochs": 4, "views": VIEWS, **fields}
        stage = Distillation.model_validate(settings, context=loaded_from(tmp_path))
        action = stage.split_steps(Size.square(SIZE))[SCORES]
        with store.workspace() as folder:
            given = {"splits": inputs["splits"], "train": inputs["train"]}
            metadata = action.run(given, folder, context(tmp_path, name, stop_at))
            return store.commit(name, folder, metadata, (), 0)

    return run


@pytest.fixture
def learn(inputs: dict[str, Artifact], tmp_path: Path) -> Student:
    def run(
        name: str, scores: Artifact, stop_at: int = 10**9, **fields: object
    ) -> dict[str, torch.Tensor]:
        into = tmp_path / name
        into.mkdir(exist_ok=True)
        settings = {"epochs": 4, "batch_size": 8, "learning_rate": 2e-3, "views": VIEWS}
        fields = {"teacher": TEACHER, **settings, **fields}
        stage = Distillation.model_validate(fields, context=loaded_from(tmp_path))
        stage.run({**inputs, SCORES: scores}, into, context(tmp_path, name, stop_at))
        weights: dict[str, torch.Tensor] = load_file(into / WEIGHTS_FILE)
        return weights

    return run


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def loaded(scores: Artifact) -> np.ndarray:
    values: np.ndarray = np.load(scores.file(SCORES_FILE))
    return values


# Views


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (36, 36, 3)).astype(np.uint8)


def test_a_view_follows_from_seed_view_and_index_alone() -> None:
    views, image = Views(rotate=20, erase=0.5), picture()
    torch.manual_seed(1)
    first = views.maker(Size.square(SIZE))(image, 3, 7)
    torch.manual_seed(2)
    other = views.maker(Size.square(SIZE))
    other(image, 0, 0)
    assert torch.equal(first, other(image, 3, 7))
    assert first.shape == (3, SIZE, SIZE)
    assert first.dtype == torch.uint8


@pytest.mark.parametrize(("seed", "view", "index"), [(1, 3, 7), (0, 4, 7), (0, 3, 8), (0, 7, 3)])
def test_another_seed_view_or_index_is_another_view(seed: int, view: int, index: int) -> None:
    image = picture()
    one = Views().maker(Size.square(SIZE))(image, 3, 7)
    assert not torch.equal(one, Views(seed=seed).maker(Size.square(SIZE))(image, view, index))


def test_a_view_of_oblong_images_keeps_their_shape() -> None:
    image = picture().repeat(2, axis=1) // 4
    image[:, :6, 0], image[:, -6:, 1] = 255, 255
    views = Views(scale=(1, 1), horizontal_flip=False, brightness=0, contrast=0)
    view = views.maker(Size(SIZE, 2 * SIZE))(image, 0, 0)
    assert view.shape == (3, SIZE, 2 * SIZE)
    assert min(view[0, :, 0].min(), view[1, :, -1].min()) > 128, "an end was cut off"


def test_making_a_view_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Views().maker(Size.square(SIZE))(picture(), 0, 0)
    assert torch.equal(torch.rand(3), expected)


def test_teacher_and_student_see_the_same_views(
    score: Scorer,
    learn: Student,
    inputs: dict[str, Artifact],
    teacher: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = score()
    seen: dict[tuple[int, int], torch.Tensor] = {}
    maker = Views.maker

    def watched(self: Views, image_size: Size) -> Callable[..., torch.Tensor]:
        make = maker(self, image_size)

        def keep(image: np.ndarray, view: int, index: int) -> torch.Tensor:
            seen[view, index] = make(image, view, index)
            return seen[view, index]

        return keep

    monkeypatch.setattr(Views, "maker", watched)
    learn("student", scores)
    assert set(seen) == {(view, index) for view in range(2) for index in range(COUNT)}
    network = timm_models.create(ARCH, 2)
    network.load_state_dict(load_file(teacher))
    kept = loaded(scores)
    assert kept.shape == (2, COUNT, 2)
    for (view, index), pixels in seen.items():
        with torch.no_grad():
            expected = network((pixels[None].float() / 255 - 0.5) / 0.5)[0]
        np.testing.assert_allclose(kept[view, index], expected, atol=1e-5)


# The teacher


def test_an_interrupted_pass_goes_on_where_it_stopped(score: Scorer, tmp_path: Path) -> None:
    whole = loaded(score("whole"))
    with pytest.raises(KeyboardInterrupt):
        score("halves", stop_at=2 * COUNT)
    assert [path.name for path in (tmp_path / "halves.partial").iterdir()] == ["view-0.npy"]
    assert np.array_equal(whole, loaded(score("halves")))


def test_the_teacher_has_an_image_size_of_its_own(score: Scorer) -> None:
    assert not np.allclose(loaded(score("small")), loaded(score("large", teacher_image_size=64)))


def test_the_teachers_normalisation_is_its_own(score: Scorer) -> None:
    other = {**TEACHER, "mean": 0.4}
    assert not np.allclose(loaded(score("own")), loaded(score("other", teacher=other)))


def test_a_teacher_that_is_not_there_is_named_as_in_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"^distill\.teacher\.weights: .*safetensors does not"):
        Distillation.model_validate({"teacher": TEACHER, "epochs": 1}).files()


def test_a_teacher_of_other_classes_is_refused(score: Scorer, tmp_path: Path) -> None:
    swapped = CARD.model_copy(update={"classes": ("bright", "dark")})
    (tmp_path / "swapped").mkdir()
    timm_models.save(timm_models.create(ARCH, 2), swapped, tmp_path / "swapped")
    with pytest.raises(WeightsError, match="trained on the classes bright, dark") as caught:
        score(teacher={**TEACHER, "weights": f"swapped/{WEIGHTS_FILE}"})
    assert "head: linear" in str(caught.value.hint)


def test_a_teacher_of_more_classes_is_refused(score: Scorer, tmp_path: Path) -> None:
    torch.save(timm_models.create(ARCH, 7).state_dict(), tmp_path / "seven.pt")
    with pytest.raises(WeightsError, match=r"distill.teacher: seven.pt does not fit") as caught:
        score(teacher={**TEACHER, "weights": "seven.pt"})
    assert "head: linear" in str(caught.value.hint)


def test_a_teacher_whose_classes_stand_in_another_order_is_read_so(
    score: Scorer, teacher: Path, tmp_path: Path
) -> None:
    torch.save(load_file(teacher), tmp_path / "bare.pt")
    bare = {**TEACHER, "weights": "bare.pt", "mean": 0.5, "std": 0.5}
    straight = loaded(score("straight", teacher=bare))
    network = load_file(teacher)
    for name in ("classifier.weight", "classifier.bias"):
        network[name] = network[name].flip(0)
    torch.save(network, tmp_path / "turned.pt")
    turned = {**bare, "weights": "turned.pt"}
    with pytest.raises(WeightsError, match="no better than chance") as caught:
        score("wrong", teacher=turned)
    assert "teacher.classes" in str(caught.value.hint)
    known = {**turned, "classes": ["bright", "dark"]}
    assert np.allclose(straight, loaded(score("turned", teacher=known)))


def test_strange_classes_of_a_teacher_are_refused(score: Scorer) -> None:
    with pytest.raises(WeightsError, match="classes: a, b; the data has dark, bright"):
        score(teacher={**TEACHER, "classes": ["a", "b"]})


# A linear head


def test_a_head_on_an_untrained_backbone_tells_dark_from_bright(
    score: Scorer, tmp_path: Path, inputs: dict[str, Artifact]
) -> None:
    torch.manual_seed(3)
    torch.save(timm_models.create(ARCH, 5).state_dict(), tmp_path / "backbone.pt")
    backbone = {**TEACHER, "weights": "backbone.pt"}
    scores = score(teacher=backbone, head="linear")
    assert scores.metadata["head"]["held_out_accuracy"] > 90
    assert scores.metadata["recall_on_views"] > 90
    right = loaded(scores).argmax(2) == np.load(inputs["train"].file("labels.npy"))
    assert right.mean() > 0.9


@pytest.mark.parametrize("arch", ["test_vit", "test_byobnet"])
def test_a_backbone_of_one_image_size_takes_another(
    arch: str, score: Scorer, tmp_path: Path
) -> None:
    torch.save(timm_models.create(arch, 3).state_dict(), tmp_path / "backbone.pt")
    backbone = {"arch": arch, "weights": "backbone.pt"}
    scores = score(teacher=backbone, head="linear", teacher_image_size=64)
    assert loaded(scores).shape == (2, COUNT, 2)


def test_a_head_on_noise_is_held_out_to_be_no_better_than_chance() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 30)).astype(np.float32)
    score, record = fit_head(features[None], np.arange(400) % 2, ("a", "b"))
    assert 40 < record["held_out_accuracy"] < 60
    assert record["c"] == 1e-4, "the strongest regularisation, as there is nothing to learn"
    assert np.abs(score(features)).max() < 0.5


def test_the_views_of_a_held_out_image_are_held_out_with_it() -> None:
    """Features that tell images apart, but nothing of their classes: to be known from another
    view of the same image is no merit."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 200)).astype(np.float32)
    _, record = fit_head(np.stack([images] * 4), np.arange(40) % 2, ("a", "b"))
    assert record["held_out_accuracy"] < 70


@pytest.mark.parametrize("classes", [2, 3])
def test_the_heads_scores_are_logarithms_of_probabilities(classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60 * classes) % classes
    features = (rng.normal(size=(len(labels), 4)) + 2 * labels[:, None]).astype(np.float32)
    score, record = fit_head(features[None], labels, tuple("abc"[:classes]))
    odds = np.exp(score(features))
    chosen = (odds / odds.sum(1, keepdims=True))[np.arange(len(labels)), labels]
    assert -np.log(chosen).mean() == pytest.approx(record["held_out_log_loss"], abs=0.1)


def test_a_class_of_one_image_has_no_head() -> None:
    with pytest.raises(DataError, match="too few of b"):
        fit_head(np.zeros((1, 3, 2), np.float32), np.array([0, 0, 1]), ("a", "b"))


# The student


def test_the_student_learns_from_the_teacher_alone(
    score: Scorer, learn: Student, inputs: dict[str, Artifact]
) -> None:
    state = learn("student", score(), weight=1.0, epochs=10, learning_rate=3e-3)
    student = timm_models.create(ARCH, 2)
    student.load_state_dict(state)
    images = np.load(inputs["train"].file("images.npy"))[:, :SIZE, :SIZE].transpose(0, 3, 1, 2)
    with torch.no_grad():
        scores = student((torch.from_numpy(images).float() / 255 - 0.5) / 0.5)
    labels = np.load(inputs["train"].file("labels.npy"))
    assert (scores.argmax(1).numpy() == labels).mean() > 0.9


@pytest.mark.parametrize("stop_at", [1, 3, 7])
def test_an_interrupted_student_ends_with_the_same_weights(
    score: Scorer, learn: Student, stop_at: int
) -> None:
    scores = score()
    undisturbed = learn("whole", scores)
    with pytest.raises(KeyboardInterrupt):
        learn("halves", scores, stop_at=stop_at)
    assert same(undisturbed, learn("halves", scores))


def test_weight_and_temperature_count(score: Scorer, learn: Student) -> None:
    scores = score()
    usual = learn("usual", scores)
    assert not same(usual, learn("labels", scores, weight=0.1))
    assert not same(usual, learn("hot", scores, temperature=8.0))


def test_what_a_message_blames_is_this_stage(score: Scorer, learn: Student) -> None:
    with pytest.raises(InputError, match=r"^distill.optimizer"):
        learn("odd", score(), optimizer="adamwat")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"teacher": {**TEACHER, "weights": "scratch"}}, "a teacher must be trained"),
        ({"teacher": {**TEACHER, "head": "new"}}, "a teacher must be trained"),
        ({"teacher": {"weights": "a.onnx", "input_range": "0..1"}}, "a timm model with weights"),
        ({"teacher": {**TEACHER, "classes": ["a", "b"]}, "head": "linear"}, "remove teacher"),
        ({"teacher": {"arch": "torchvision/alexnet", "weights": "w.pt"}, "head": "linear"}, "timm"),
        ({"views": {"count": 0}}, "greater than or equal to 1"),
        ({"views": {"scale": (0.9, 0.5)}}, "two shares"),
        ({"warmup_epochs": 4}, "must be below epochs"),
        ({"mixup": 0.2}, "mixup"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Distillation(**{"teacher": TEACHER, "epochs": 4, **fields})


# In a plan

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages:
  - distill:
      teacher: {arch: test_vit, weights: teacher.pt}
      head: linear
      views: {count: 2}
      epochs: 2
      learning_rate: 1.0e-3
  - quantize: {method: ptq, samples: 8}
"""


@pytest.fixture
def plan(images_folder: Path, store: Store, write_recipe: Callable[..., Path]) -> MakePlan:
    torch.manual_seed(0)
    torch.save(timm_models.create("test_vit", 3).state_dict(), images_folder.parent / "teacher.pt")

    def make(*replaced: tuple[str, str]) -> Plan:
        text = RECIPE
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        recipe = load_recipe(write_recipe(text))
        return make_plan(recipe, [load_target("x86-cpu")], store)

    return make


def keys(plan: Plan) -> dict[str, str]:
    return {step.id: step.key for step in plan.steps}


def test_the_scores_stand_before_the_stage_and_are_its_input(plan: MakePlan) -> None:
    steps: dict[str, Step] = {step.id: step for step in plan().steps}
    order = list(steps)
    assert order.index("images/train") < order.index(SCORES) < order.index("distill")
    assert steps[SCORES].inputs == {"splits": "splits", "train": "images/train"}
    assert steps["distill"].inputs[SCORES] == SCORES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"),
        ("epochs: 2", "epochs: 3"),
        ("model: {arch: test_efficientnet", "model: {arch: test_byobnet"),
        ("mean: 0.5", "mean: 0.4"),
    ],
)
def test_another_student_costs_no_teacher_time(plan: MakePlan, old: str, new: str) -> None:
    before, after = keys(plan()), keys(plan((old, new)))
    assert before[SCORES] == after[SCORES]
    assert before["distill"] != after["distill"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("count: 2", "count: 3"),
        ("count: 2", "count: 2, seed: 1"),
        ("count: 2", "count: 2, rotate: 5"),
        ("head: linear", "head: keep"),
        ("head: linear", "head: linear\n      teacher_image_size: 64"),
        ("path: images", "path: images, validation_share: 0.3"),
    ],
)
def test_other_views_or_another_teacher_are_scored_anew(plan: MakePlan, old: str, new: str) -> None:
    assert keys(plan())[SCORES] != keys(plan((old, new)))[SCORES]


def test_the_teachers_content_counts_and_not_its_place(plan: MakePlan, tmp_path: Path) -> None:
    before = keys(plan())
    (tmp_path / "teacher.pt").rename(tmp_path / "moved.pt")
    assert keys(plan(("teacher.pt", "moved.pt"))) == before
    torch.save(timm_models.create("test_vit", 4).state_dict(), tmp_path / "moved.pt")
    after = keys(plan(("teacher.pt", "moved.pt")))
    assert {name for name in after if after[name] != before[name]} >= {SCORES, "distill"}


def test_a_teacher_that_has_seen_the_judging_images_is_refused(
    plan: MakePlan, tmp_path: Path
) -> None:
    import json

    from safetensors.torch import save_file

    from edgekit.engine.artifact import sha256_of
    from edgekit.models.checkpoint import NOTE, SEEN_DIGITS

    everything = [sha256_of(path)[:SEEN_DIGITS] for path in (tmp_path / "images").rglob("*.png")]
    note = {**json.loads(CARD.model_dump_json()), "seen": " ".join(everything)}
    state = timm_models.create("test_vit", 2).state_dict()
    save_file(state, tmp_path / "seen.safetensors", metadata={NOTE: json.dumps(note)})
    with pytest.raises(WeightsError, match="accuracy is to be measured on"):
        plan(("teacher.pt", "seen.safetensors"))


def test_built_scores_are_cached_when_the_learning_rate_changes(
    plan: MakePlan, store: Store
) -> None:
    from dataclasses import replace

    from edgekit.engine.observer import Silent
    from edgekit.pipeline.run import execute

    def trunk(whole: Plan) -> Plan:
        return replace(
            whole, steps=tuple(s for s in whole.steps if "/" not in s.id or "images" in s.id),
            targets=(),
        )  # fmt: skip

    first = execute(trunk(plan()), store, Silent())
    assert first.artifacts[StepId("distill")].metadata["training"]["teacher"]["head"]["folds"] == 5
    again = trunk(plan(("learning_rate: 1.0e-3", "learning_rate: 2.0e-3")))
    states: dict[str, StepState] = {step.id: step.state for step in again.steps}
    assert states[SCORES] is StepState.CACHED
    assert states["distill"] is not StepState.CACHED
    assert SCORES not in execute(again, store, Silent()).ran
