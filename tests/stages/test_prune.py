"""The stage on a tiny network. What is measured on a runtime is made up here, so that no test
depends on how fast a machine is."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from edgekit.data.size import Size
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.engine.action import Context
from edgekit.engine.artifact import Artifact, Metadata
from edgekit.engine.step import Step
from edgekit.engine.store import Store
from edgekit.engine.user_paths import loaded_from
from edgekit.errors import InputError, NotAsAsked, WeightsError
from edgekit.evaluation.measure import HERE
from edgekit.evidence import Evidence, Measurement
from edgekit.models import timm_models
from edgekit.models.card import WEIGHTS_FILE, Card
from edgekit.models.pruned import Pruned, PruningGain
from edgekit.pipeline.plan import make_plan
from edgekit.runtimes import find_runtimes
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target
from edgekit.stages import prune as stages
from edgekit.stages.prune import Prune
from edgekit.transports.emulated import Emulated
from edgekit.transports.local import Local
from tests.boards import BOARD, board_of

ARCH = "test_efficientnet"
CARD = Card(
    arch=ARCH, classes=("dark", "bright"), image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3,
    crop_pct=1.0, parameters=99710, macs=1,
)  # fmt: skip
Run = Callable[..., Artifact]


@pytest.fixture
def inputs(store: Store, request: pytest.FixtureRequest) -> dict[str, Artifact]:
    """A network with weights, and 24 images that are dark or bright."""
    torch.manual_seed(0)
    arch = getattr(request, "param", ARCH)
    model = timm_models.create(arch, 2, image_size=Size.square(32))
    macs = timm_models.count_macs(model, Size.square(32))
    labels = np.arange(24) % 2
    noise = np.random.default_rng(0).integers(0, 90, (24, 37, 37, 3))
    images = (noise + 150 * labels[:, None, None, None]).astype(np.uint8)
    with store.workspace() as folder:
        metadata = timm_models.save(
            model, CARD.model_copy(update={"arch": arch, "macs": macs}), folder
        )
        dense = store.commit("model", folder, metadata, (), 0)
    with store.workspace() as folder:
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", labels)
        train = store.commit("train", folder, Metadata(), (), 0)
    return {"model": dense, "train": train}


class Pretence:
    """A workshop that compiles nothing, and finds the ratios it was told, one after another."""

    ratios: tuple[float, ...] = (0.5,)
    compared = 0

    def __init__(self, *_: Any) -> None:
        pass

    def compile(self, model: Any, card: Card) -> Card:
        return card

    def compare(self, pruned: Card, dense: Card) -> PruningGain:
        value = self.ratios[min(type(self).compared, len(self.ratios) - 1)]
        type(self).compared += 1
        ratio = Measurement(
            value=value, unit="ratio", evidence=Evidence.HOST, method="made up",
            low=value - 0.05, high=value + 0.05,
        )  # fmt: skip
        return PruningGain(
            latency=ratio, size=pruned.parameters / dense.parameters, disturbed=False
        )


@pytest.fixture
def prune(
    inputs: dict[str, Artifact], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.setattr(stages, "LatencyTrial", Pretence)

    def run(
        name: str, stop_at: int = 0, ratios: tuple[float, ...] = (0.5,), **settings: Any
    ) -> Artifact:
        monkeypatch.setattr(Pretence, "ratios", ratios)
        monkeypatch.setattr(Pretence, "compared", 0)
        calls = 0

        def progress(done: int, total: int, note: str) -> None:
            nonlocal calls
            calls += 1
            if calls == stop_at:
                raise KeyboardInterrupt

        partial = tmp_path / f"{name}.partial"
        partial.mkdir(exist_ok=True)
        training = {"epochs": 2, "max_epochs": 2, "batch_size": 8}
        fields = {"keep": 0.6, "by": "macs", "runtime": "onnxruntime", "recover": training}
        stage = Prune.model_validate({**fields, **settings}, context=loaded_from(tmp_path))
        with store.workspace() as folder:
            context = Context(progress=progress, partial=partial)
            metadata = stage.run(inputs, folder, context)
            return store.commit(name, folder, metadata, (), 0)

    return run


def stage_of(folder: Path, **fields: object) -> Prune:
    """As it is read from a recipe in this folder."""
    settings = {"keep": 0.5, "runtime": "litert", **fields}
    return Prune.model_validate(settings, context=loaded_from(folder))


def record(artifact: Artifact) -> Pruned:
    return Pruned.model_validate(artifact.metadata["pruning"])


def same(a: Artifact, b: Artifact) -> bool:
    one, other = (timm_models.restore(artifact)[0].state_dict() for artifact in (a, b))
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("by", ["macs", "parameters"])
@pytest.mark.parametrize("importance", ["magnitude", "taylor", "bn_scale"])
def test_what_is_asked_is_cut(prune: Run, by: str, importance: str) -> None:
    artifact = prune("cut", by=by, importance=importance, recover=None)
    model, card = timm_models.restore(artifact)
    done = record(artifact)
    before, after = getattr(done, by)
    assert after / before <= 0.6
    assert after / before == pytest.approx(done.predicted, abs=1e-3)
    assert card.parameters == sum(p.numel() for p in model.parameters())
    assert card.macs == timm_models.count_macs(model, Size.square(32))
    assert done.changed
    for group in done.changed:
        assert model.get_submodule(group.name).weight.shape[0] == group.after
        assert group.after % 8 == 0
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def test_a_cut_of_size_is_held_to_the_bytes_of_the_file(prune: Run) -> None:
    done = record(prune("small", by="size", recover=None))
    assert done.trial.size <= 0.6


def test_what_is_left_is_trained_by_the_unpruned_network(prune: Run) -> None:
    trained = prune("trained")
    assert len(trained.metadata["training"]["loss"]) == 2
    assert not same(trained, prune("cut", recover=None))
    alone = {"epochs": 2, "max_epochs": 2, "batch_size": 8, "weight": 0}
    assert not same(trained, prune("alone", recover=alone))


def test_a_recovery_goes_on_while_its_loss_falls(prune: Run) -> None:
    settings = {"epochs": 2, "batch_size": 8, "weight": 0, "max_epochs": 7}
    went_on = prune("on", recover=settings)
    losses = went_on.metadata["training"]["loss"]
    assert len(losses) in (4, 6)
    assert f"went on for {len(losses) - 2} epochs" in went_on.metadata["remark"]
    assert [p["epoch"] for p in went_on.metadata["curve"]["points"]] == [*range(1, len(losses) + 1)]
    ended = prune("ended", recover={**settings, "max_epochs": 2})
    assert ended.metadata["training"]["loss"] == losses[:2]
    assert not same(went_on, ended)
    with pytest.raises(KeyboardInterrupt):
        prune("killed", stop_at=8, recover=settings)
    assert same(went_on, prune("killed", recover=settings))


def test_another_teacher_can_be_given(
    prune: Run, inputs: dict[str, Artifact], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    timm_models.save(timm_models.create(ARCH, 2), CARD, tmp_path)
    teacher = {"arch": ARCH, "weights": WEIGHTS_FILE}
    training = {"epochs": 2, "max_epochs": 2, "batch_size": 8}
    taught = prune("taught", recover={**training, "teacher": teacher})
    assert not same(taught, prune("plain"))
    stage = stage_of(tmp_path, recover={**training, "teacher": teacher})
    assert stage.files() == {"teacher": tmp_path / WEIGHTS_FILE}
    assert WEIGHTS_FILE not in str(stage.settings())


def test_a_teacher_whose_classes_stand_in_another_order_is_read_so(
    prune: Run, tmp_path: Path
) -> None:
    """The same network with its scores the other way round teaches the same."""
    torch.manual_seed(1)
    model = timm_models.create(ARCH, 2)
    timm_models.save(model, CARD, tmp_path)
    (tmp_path / WEIGHTS_FILE).rename(tmp_path / "plain.safetensors")
    head = model.get_classifier()
    head.weight.data, head.bias.data = head.weight.data.flip(0), head.bias.data.flip(0)
    timm_models.save(model, CARD.model_copy(update={"classes": ("bright", "dark")}), tmp_path)
    training = {"epochs": 2, "max_epochs": 2, "batch_size": 8}
    plain = {"arch": ARCH, "weights": "plain.safetensors"}
    turned = {"arch": ARCH, "weights": WEIGHTS_FILE, "classes": ["bright", "dark"]}
    taught = prune("plain", recover={**training, "teacher": plain})
    assert same(taught, prune("turned", recover={**training, "teacher": turned}))
    strange = {**turned, "classes": ["bright", "blue"]}
    with pytest.raises(WeightsError, match=r"recover\.teacher: classes: bright, blue; the"):
        prune("strange", recover={**training, "teacher": strange})


@pytest.mark.parametrize("stop_at", [1, 3, 5, 8])
def test_an_interrupted_pruning_ends_with_the_same_weights(prune: Run, stop_at: int) -> None:
    undisturbed = prune("whole", steps=2)
    with pytest.raises(KeyboardInterrupt):
        prune("halves", stop_at=stop_at, steps=2)
    assert same(undisturbed, prune("halves", steps=2))


def test_a_cut_that_was_made_is_not_made_again(prune: Run) -> None:
    """A second trial of the same cut would give another figure, and maybe another cut."""
    with pytest.raises(KeyboardInterrupt):
        prune("killed", stop_at=2)
    resumed = prune("killed", ratios=(1.5,))
    assert record(resumed).trial.shown("latency") == 0.5


def test_steps_lead_to_the_same_budget(prune: Run) -> None:
    done = record(prune("steps", steps=3, recover={"epochs": 1, "step_epochs": 1}))
    assert done.macs[1] / done.macs[0] <= 0.6


def test_a_step_that_went_past_the_next_ones_budget_is_enough(prune: Run) -> None:
    """With slices this coarse the first cut does the work of all."""
    done = record(prune("coarse", steps=9, keep=0.9, round_to=32, recover=None))
    assert done.macs[1] / done.macs[0] <= 0.9


def test_a_cut_that_buys_no_time_is_refused_before_it_is_trained(prune: Run) -> None:
    with pytest.raises(NotAsAsked, match=r"buys no time: int8 on onnxruntime takes 0\.98"):
        prune("idle", ratios=(0.98,))


def test_a_forced_cut_says_that_it_bought_nothing(prune: Run) -> None:
    assert record(prune("forced", ratios=(0.98,), force=True)).forced
    assert not record(prune("useful", ratios=(0.5,), force=True)).forced


def test_where_nothing_can_be_cut_the_architecture_is_named(prune: Run) -> None:
    with pytest.raises(NotAsAsked, match="nothing to cut in test_efficientnet"):
        prune("wide", round_to=1000)


def test_more_than_there_is_cannot_be_cut(prune: Run) -> None:
    with pytest.raises(NotAsAsked, match=r"keep: 0\.1 cannot .* cut to 64 channels, \d+ % of"):
        prune("deep", keep=0.1, round_to=64)


@pytest.mark.parametrize(("keep", "overhead", "cuts"), [(0.6, 0.3, 4), (0.3, 0.25, 3), (0.6, 0, 1)])
def test_what_the_runtime_lacks_of_a_cut_is_said(
    prune: Run, monkeypatch: pytest.MonkeyPatch, keep: float, overhead: float, cuts: int
) -> None:
    """The cuts end where the file is small enough, after four, or where no more can be cut; what
    was made is kept, with a remark where the file is still too large."""

    def compare(self: Pretence, pruned: Card, dense: Card) -> PruningGain:
        found = plain(self, pruned, dense)
        late = overhead * (Pretence.compared / 10 + 0.9)  # ever a little more than expected
        return found.model_copy(update={"size": found.size + late * (1 - found.size)})

    plain = Pretence.compare
    monkeypatch.setattr(Pretence, "compare", compare)
    done = prune("lacking", by="size", keep=keep, recover=None)
    size = record(done).trial.size
    assert Pretence.compared == cuts
    assert (size > keep) == bool(overhead)
    asked = f"keep asked for {100 * keep:g} % of the size; int8 on onnxruntime shows"
    assert done.metadata.get("remark", "").startswith(asked) == bool(overhead)


def test_importance_can_be_a_function_of_ones_own(
    prune: Run, inputs: dict[str, Artifact], tmp_path: Path
) -> None:
    module = tmp_path / "worth.py"
    module.write_text(
        "def first(model, groups, images, labels):\n"
        "    return {g.name: range(g.width, 0, -1) for g in groups}\n"
        "def short(model, groups, images, labels):\n"
        "    return {g.name: [1.0] for g in groups}\n"
    )
    dense, _ = timm_models.restore(inputs["model"])
    model, _ = timm_models.restore(prune("own", importance="worth:first", recover=None))
    before = dense.state_dict()
    for name, tensor in model.state_dict().items():  # the first channels are worth most
        kept = tuple(slice(size) for size in tensor.shape)
        assert torch.equal(tensor, before[name][kept])
    with pytest.raises(InputError, match=r"must give \d+ finite numbers"):
        prune("short", importance="worth:short", recover=None)
    with pytest.raises(InputError, match="worth:none failed: AttributeError"):
        prune("none", importance="worth:none", recover=None)
    own = stage_of(tmp_path, importance="worth:first")
    assert own.files() == {"importance/worth.py": module}


def test_all_that_the_importance_may_import_enters_the_key(tmp_path: Path) -> None:
    names = ("beside.py", "worth/__init__.py", "worth/deep/__init__.py", "worth/helper.py")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for module in ("worth", "worth.deep", "worth.helper"):
        own = stage_of(tmp_path, importance=f"{module}:first")
        assert own.files() == {f"importance/{name}": tmp_path / name for name in names}
    elsewhere = stage_of(tmp_path, importance="json.decoder:scan")
    with pytest.raises(InputError, match=r"json\.decoder:scan is not in the recipe's folder"):
        elsewhere.files()


def test_a_runtime_that_the_target_does_not_have_is_refused() -> None:
    runtimes = [find_runtimes()[name] for name in ("litert", "onnxruntime")]
    Prune(keep=0.5, runtime="litert").check_targets(runtimes)
    with pytest.raises(InputError, match=r"prune\.runtime: no variant .* on openvino") as caught:
        Prune(keep=0.5, runtime="openvino").check_targets(runtimes)
    assert caught.value.hint == "runtimes of the target: litert, onnxruntime"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"keep": 1.0}, "less than 1"),
        ({"runtime": "tensorrt"}, "no runtime 'tensorrt'"),
        ({"importance": "luck"}, "module:function expected"),
        ({"recover": {"epochs": 1, "mixup": 0.2, "batch_size": 7}}, "even batch_size"),
        (
            {"recover": {"epochs": 1, "teacher": {"arch": ARCH, "weights": "scratch"}}},
            "must be trained",
        ),
        (
            {"recover": {"weight": 0, "teacher": {"arch": ARCH, "weights": "w.safetensors"}}},
            "leaves the teacher unheard",
        ),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Prune(**{"keep": 0.5, "runtime": "litert", **fields})


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert", "openvino"])
def test_a_pruned_network_compiles_as_a_dense_one_does(
    prune: Run, tmp_path: Path, runtime: str
) -> None:
    model, card = timm_models.restore(prune("cut", recover=None))
    own = find_runtimes()[runtime]()
    own.compile(model, card, tmp_path, lambda *_: None)
    operators = own.describe(tmp_path / own.file).operators
    assert sum(operator.macs for operator in operators) == card.macs


@pytest.mark.parametrize(
    ("inputs", "importance"),
    [("test_vit", "magnitude"), ("test_vit", "taylor"), ("efficientvit_b0", "taylor")],
    indirect=["inputs"],
)
def test_heads_are_cut_whole(prune: Run, tmp_path: Path, importance: str) -> None:
    artifact = prune("heads", by="parameters", importance=importance, recover=None, keep=0.4)
    model, card = timm_models.restore(artifact)
    heads = [group for group in record(artifact).changed if ".qkv" in group.name]
    assert heads
    assert all(0 < group.after < group.before <= 16 for group in heads)
    own = find_runtimes()["onnxruntime"]()
    own.compile(model, card, tmp_path, lambda *_: None)
    assert (tmp_path / own.file).stat().st_size > 4 * 0.9 * card.parameters


def test_a_plan_holds_a_pruned_network_to_the_dense_one(
    images_folder: Path, write_recipe: Callable[..., Path], store: Store
) -> None:
    """The table is a step of its own; accuracy, size and latency are compared with the network as
    it was; and the training images count as seen."""
    path = write_recipe(
        f"model: {{arch: {ARCH}, weights: scratch}}\n"
        f"data: {{source: imagefolder, path: {images_folder}, image_size: 32}}\n"
        "stages:\n"
        "  - finetune: {epochs: 1}\n"
        "  - prune: {keep: 0.6, runtime: litert}\n"
        "  - quantize: {method: ptq, samples: 8}\n"
    )
    plan = make_plan(load_recipe(path), [load_target("rpi")], store)
    steps: dict[str, Step] = {step.id: step for step in plan.steps}
    assert steps["prune-table"].inputs == {"model": "finetune"}
    assert steps["prune"].inputs["table"] == "prune-table"
    assert steps["reference"].inputs["model"] == "finetune"
    validation = steps["rpi/litert/validate-quantize"]
    assert validation.inputs["baseline"] == "rpi/litert/compile-finetune"
    assert steps["rpi/litert/quantize"].inputs["model"] == "rpi/litert/compile-prune"


@pytest.fixture
def plan_with(
    images_folder: Path, write_recipe: Callable[..., Path], store: Store
) -> Callable[[TimingDevice | None], dict[str, Step]]:
    """The steps of a pruning, with a device or without."""
    path = write_recipe(
        f"model: {{arch: {ARCH}, weights: scratch}}\n"
        f"data: {{source: imagefolder, path: {images_folder}, image_size: 32}}\n"
        "stages:\n"
        "  - finetune: {epochs: 1}\n"
        "  - prune: {keep: 0.6, runtime: onnxruntime}\n"
    )

    def plan(board: TimingDevice | None) -> dict[str, Step]:
        made = make_plan(load_recipe(path), [BOARD], store, board=board)
        return {step.id: step for step in made.steps}

    return plan


@pytest.mark.parametrize("emulated", [True, False])
def test_layers_and_cut_are_timed_on_the_device_unless_it_is_emulated(
    plan_with: Callable[[TimingDevice | None], dict[str, Step]], emulated: bool
) -> None:
    without = plan_with(None)
    board = board_of(Emulated(cpu="cortex-a76") if emulated else Local())
    there = plan_with(board)
    assert without["finetune"].key == there["finetune"].key
    for name in ("prune-table", "prune"):
        assert (without[name].key == there[name].key) == emulated
    table: Any = there["prune-table"].action
    assert table.machine == (HERE if emulated else board)


def test_a_stage_that_nobody_placed_has_the_key_it_always_had() -> None:
    stage = Prune(keep=0.5, runtime="litert")
    assert stage.settings() == stage.timed_on(HERE).settings()
    assert "machine" not in stage.settings()
    elsewhere = stage.timed_on(board_of(Local()))
    assert elsewhere.settings()["machine"]["device"] == "pi5"
    assert stage.settings() == Prune(keep=0.5, runtime="litert").settings()


def test_the_record_says_on_which_device_a_cut_was_timed(
    inputs: dict[str, Artifact], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "locks"))
    board = board_of(Local(home=str(tmp_path / "home"), python=sys.executable))
    stage = Prune(
        keep=0.6, by="macs", runtime="onnxruntime", precision="float32", recover=None, force=True
    ).timed_on(board)
    context = Context(progress=lambda *_: None, partial=tmp_path)
    with store.workspace() as folder:
        metadata = stage.run(inputs, folder, context)
    done = metadata.pruning
    assert done is not None
    assert (done.machine, done.threads) == ("pi5", 2)
    assert done.trial.latency.evidence is Evidence.MEASURED


def test_pruning_alone_has_seen_the_training_images(
    images_folder: Path, write_recipe: Callable[..., Path], store: Store, tmp_path: Path
) -> None:
    timm_models.save(timm_models.create(ARCH, 2), CARD, tmp_path)
    path = write_recipe(
        f"model: {{arch: {ARCH}, weights: {WEIGHTS_FILE}, head: keep}}\n"
        f"data: {{source: imagefolder, path: {images_folder}, image_size: 32}}\n"
        "stages:\n"
        "  - prune: {keep: 0.6, runtime: litert}\n"
    )
    plan = make_plan(load_recipe(path), [load_target("rpi")], store)
    assert plan.seen
