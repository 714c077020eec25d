"""A plan says which steps run, in which order and why; its keys depend on what matters alone."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edgekit.engine.artifact import Metadata
from edgekit.engine.step import Step, StepState
from edgekit.engine.store import Store
from edgekit.errors import DataError, InputError
from edgekit.evaluation.gates import Gates
from edgekit.models.checkpoint import NOTE
from edgekit.pipeline.plan import Plan, make_plan
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.settings import Variant
from edgekit.setup.explain import explain
from edgekit.spec.recipe import Recipe, load_recipe
from edgekit.spec.target import Target

TEXT = """\
model: {arch: test_efficientnet, weights: w.safetensors}
data: {source: imagefolder, path: images, image_size: 32}
stages:
  - finetune: {epochs: 1, augment: {rotate: 5}}
  - quantize: {method: ptq, samples: 8}
  - export
gates: {max_accuracy_drop: 1.0}
"""

Planner = Callable[..., Plan]


def target(name: str = "board", *runtimes: str, **gates: float) -> Target:
    return Target(
        name=name,
        description="a board",
        runtimes=runtimes or ("onnxruntime",),
        cpu="cortex-a53",
        threads=2,
        gates=Gates.model_validate(gates),
    )


@pytest.fixture
def recipe_path(images_folder: Path, write_recipe: Callable[..., Path]) -> Path:
    save_file({"a": torch.zeros(1)}, images_folder.parent / "w.safetensors")
    return write_recipe(TEXT)


@pytest.fixture
def plan(recipe_path: Path, store: Store) -> Planner:
    """Plan the recipe, with parts of its text replaced."""

    def make(*replaced: tuple[str, str], targets: Any = (), **options: Any) -> Plan:
        text = TEXT
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        recipe_path.write_text(text)
        recipe = load_recipe(recipe_path)
        return make_plan(recipe, [*targets] or [target()], store, **options)

    return make


class Named(Metadata):
    step: str


def finish(store: Store, steps: tuple[Step, ...]) -> None:
    """As if a build had run these steps to their end."""
    for step in steps:
        with store.workspace() as folder:
            store.commit(step.key, folder, Named(step=str(step.id)), (), 7.5)


def states(plan: Plan) -> dict[str, StepState]:
    return {step.id: step.state for step in plan.steps}


def reason(plan: Plan, id: str) -> str:
    return next(step.reason for step in plan.steps if step.id == id)


def keys(plan: Plan) -> dict[str, str]:
    return {step.id: step.key for step in plan.steps}


# Steps and their order


def test_each_stage_is_validated_before_the_next_one_runs(plan: Planner) -> None:
    assert [step.id for step in plan().steps] == [
        "splits",
        "images/validation",
        "source",
        "images/train",
        "finetune",
        "reference",
        "board/onnxruntime/compile-finetune",
        "board/onnxruntime/validate-finetune",
        "images/calibration",
        "board/onnxruntime/quantize",
        "board/onnxruntime/validate-quantize",
        "board/onnxruntime/export",
        "board/onnxruntime/check",
        "board/onnxruntime/validate-export",
    ]


def test_every_step_comes_after_its_inputs(plan: Planner) -> None:
    done: set[str] = set()
    for step in plan(targets=[target("a", "onnxruntime", "litert"), target("b")]).steps:
        assert set(step.inputs.values()) <= done
        done.add(step.id)


def test_rows_name_the_baseline_and_the_last_stage(plan: Planner) -> None:
    (planned,) = plan().targets
    assert [(row.stage, row.baseline, row.last) for row in planned.rows] == [
        ("finetune", True, False),
        ("quantize", False, False),
        ("export", False, True),
    ]
    assert planned.choice is None


def test_every_later_stage_is_compared_with_the_baseline_on_the_judging_images(
    plan: Planner,
) -> None:
    steps: dict[str, Step] = {step.id: step for step in plan().steps}
    first = steps["board/onnxruntime/validate-finetune"].inputs
    assert first["images"] == "images/validation"
    assert "baseline" not in first
    for stage in ("quantize", "export"):
        inputs = steps[f"board/onnxruntime/validate-{stage}"].inputs
        assert inputs["baseline"] == "board/onnxruntime/compile-finetune"
        assert inputs["reference"] == "reference"
        assert inputs["model"] == f"board/onnxruntime/{stage}"


def test_what_learns_without_labels_of_its_own_is_held_to_the_model_before(plan: Planner) -> None:
    """A loss by training for int8 must show as a loss; and its images are seen all the same."""
    old = "  - finetune: {epochs: 1, augment: {rotate: 5}}\n"
    planned = plan((old, f"{old}  - qat: {{epochs: 1}}\n"))
    assert next(s.inputs["model"] for s in planned.steps if s.id == "reference") == "finetune"
    assert [row.stage for row in planned.targets[0].rows][:2] == ["finetune", "qat"]
    alone = plan((old, "  - qat: {epochs: 1}\n"))
    assert next(s.inputs["model"] for s in alone.steps if s.id == "reference") == "source"
    assert alone.seen == planned.seen
    assert not plan((old, "")).seen


def test_the_reference_is_the_trained_model_or_the_source_without_training(
    plan: Planner,
) -> None:
    def reference(planned: Plan) -> str:
        return next(s.inputs["model"] for s in planned.steps if s.id == "reference")

    assert reference(plan()) == "finetune"
    twice = "  - finetune: {epochs: 1}\n  - finetune: {epochs: 1}\n"
    old = "  - finetune: {epochs: 1, augment: {rotate: 5}}\n"
    assert reference(plan((old, twice))) == "finetune-2"
    assert reference(plan((old, ""))) == "source"
    assert "images/train" not in states(plan((old, "")))


def test_quantising_sees_calibration_images_and_never_the_judging_ones(plan: Planner) -> None:
    steps: dict[str, Step] = {step.id: step for step in plan().steps}
    assert steps["board/onnxruntime/quantize"].inputs == {
        "model": "board/onnxruntime/compile-finetune",
        "calibration": "images/calibration",
    }


def test_two_runtimes_end_with_a_choice_between_what_they_ship(plan: Planner) -> None:
    planned = plan(targets=[target("board", "onnxruntime", "litert")])
    step = planned.steps[-1]
    assert planned.targets[0].choice == step.id == "board/choose"
    assert step.inputs == {
        "images": "images/validation",
        "onnxruntime": "board/onnxruntime/export",
        "litert": "board/litert/export",
    }


def test_a_second_target_shares_the_trunk_and_what_its_runtime_gives(plan: Planner) -> None:
    alone = keys(plan(targets=[target("a")]))
    both = keys(plan(targets=[target("a"), target("b")]))
    assert {id: both[id] for id in alone} == alone
    added = set(both) - set(alone)
    assert added
    assert all(id.startswith("b/") for id in added)
    assert all(both[id] == both["a" + id[1:]] for id in added)


def test_gates_of_the_recipe_and_the_target_are_both_held(plan: Planner) -> None:
    # The recipe allows a drop of 1 point.
    lax, strict = target("a", max_accuracy_drop=2, max_size_mb=3), target("b", max_accuracy_drop=0)
    planned = plan(targets=[lax, strict]).targets
    assert planned[0].gates == Gates(max_accuracy_drop=1, max_size_mb=3)
    assert planned[1].gates == Gates(max_accuracy_drop=0)


# A model from elsewhere


KERAS = (
    ("arch: test_efficientnet, weights: w.safetensors", "weights: w.keras, input_range: -1..1"),
    ("  - finetune: {epochs: 1, augment: {rotate: 5}}\n", ""),
)


def write_keras(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"name": name}}))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, images_folder: Path) -> Callable[..., None]:
    """Let only these runtimes read Keras models, of which there is one."""
    write_keras(images_folder.parent / "w.keras", "a model")

    def only(*names: str) -> None:
        for name, runtime in find_runtimes().items():
            monkeypatch.setattr(
                runtime, "reads", ("torch", "keras") if name in names else ("torch",)
            )

    return only


def test_a_model_from_elsewhere_is_checked_before_anything_is_made_of_it(
    plan: Planner, reads: Callable[..., None]
) -> None:
    reads("onnxruntime")
    planned = plan(*KERAS)
    assert [step.id for step in planned.steps][:7] == [
        "splits",
        "images/validation",
        "source",
        "images/check-source",
        "check-source",
        "reference",
        "board/onnxruntime/compile-source",
    ]
    assert planned.targets[0].unreachable == {}


def test_what_does_not_read_the_model_is_left_out_or_refused(
    plan: Planner, reads: Callable[..., None]
) -> None:
    reads("onnxruntime")
    other = Variant(runtime="litert", precision="float16")
    board = target().model_copy(update={"alternatives": (other,)})
    (found,) = plan(*KERAS, targets=[board]).targets
    assert found.unreachable == {
        "litert-float16": "litert does not read a Keras model, as w.keras is"
    }
    assert {row.variant for row in found.rows} == {"onnxruntime"}
    assert found.choice is None
    with pytest.raises(
        InputError, match=r"w\.keras cannot be built for a: litert does not"
    ) as caught:
        plan(*KERAS, targets=[target("a", "litert")])
    assert "can be built for onnxruntime" in str(caught.value.hint)


def test_a_target_is_built_with_what_reads_the_model_or_left_out_beside_others(
    plan: Planner, reads: Callable[..., None]
) -> None:
    reads("onnxruntime")
    planned = plan(*KERAS, targets=[target("a", "litert"), target("b", "litert", "onnxruntime")])
    assert planned.left_out == {"a": "litert does not read a Keras model, as w.keras is"}
    (found,) = planned.targets
    assert {row.runtime for row in found.rows} == {"onnxruntime"}
    assert list(found.unreachable) == ["litert"]


def test_a_checkpoint_from_elsewhere_is_checked_unless_it_is_trained_further(
    plan: Planner, recipe_path: Path
) -> None:
    training = "  - finetune: {epochs: 1, augment: {rotate: 5}}\n"
    assert "check-source" in states(plan((training, "")))
    assert "check-source" not in states(plan())
    note = {NOTE: json.dumps({"seen": ""})}
    save_file({"a": torch.zeros(1)}, recipe_path.parent / "w.safetensors", metadata=note)
    assert "check-source" not in states(plan((training, "")))


def test_both_runtimes_of_a_way_by_another_must_read_the_model(
    plan: Planner, reads: Callable[..., None]
) -> None:
    via = Variant(runtime="openvino", via="onnxruntime")
    board = target().model_copy(update={"runtimes": (), "alternatives": (via,)})
    for names, reason in (
        (["openvino"], "onnxruntime does not read"),
        (["onnxruntime"], "openvino does not read"),
    ):
        reads(*names)
        (found,) = plan(*KERAS, targets=[board]).targets
        assert reason in found.unreachable["openvino-via-onnxruntime"]
    reads("onnxruntime", "openvino")
    (found,) = plan(*KERAS, targets=[board]).targets
    assert found.unreachable == {}


def test_classes_reorder_the_data_and_give_new_keys_to_all(
    plan: Planner, reads: Callable[..., None]
) -> None:
    reads("onnxruntime")
    first, *others = KERAS
    turned = (first[0], f"{first[1]}, classes: [disc, bar]")
    before, after = keys(plan(first, *others)), keys(plan(turned, *others))
    assert list(before) == list(after)
    assert not set(before.values()) & set(after.values())
    named = (first[0], f"{first[1]}, classes: [bar, disc]")  # the order that the data has
    same = keys(plan(named, *others))
    assert same["splits"] == before["splits"]
    assert same["images/calibration"] == before["images/calibration"]


def test_other_content_of_a_model_file_is_a_change_and_another_folder_is_not(
    plan: Planner, reads: Callable[..., None], images_folder: Path
) -> None:
    reads("onnxruntime")
    before = keys(plan(*KERAS))
    file = images_folder.parent / "w.keras"
    (images_folder.parent / "sub").mkdir()
    file.rename(images_folder.parent / "sub" / "w.keras")
    moved = (KERAS[0][0], KERAS[0][1].replace("w.keras", "sub/w.keras"))
    assert keys(plan(moved, KERAS[1])) == before
    write_keras(file, "another model")
    assert keys(plan(*KERAS))["source"] != before["source"]


def test_every_step_is_explained(plan: Planner) -> None:
    for step in plan().steps:
        assert explain(str(step.id))[0].text


# States and reasons


def test_nothing_built_yet_is_new(plan: Planner) -> None:
    planned = plan()
    assert set(states(planned).values()) == {StepState.NEW}
    assert reason(planned, "splits") == "never built here"


def test_what_was_built_is_cached_and_the_rest_goes_on(plan: Planner, store: Store) -> None:
    first = plan()
    finish(store, first.steps[:5])
    second = plan(last=first.record())
    done = {step.id for step in first.steps[:5]}
    assert {id for id, state in states(second).items() if state is StepState.CACHED} == done
    assert reason(second, "reference") == "not finished, or removed from the store"
    assert states(second)["board/onnxruntime/validate-finetune"] is StepState.FOLLOWS
    finish(store, first.steps)
    third = plan(last=first.record())
    assert set(states(third).values()) == {StepState.CACHED}


def test_what_ran_before_tells_how_long_it_took_also_where_it_changed(
    plan: Planner, store: Store
) -> None:
    first = plan()
    assert {step.seconds_before for step in first.steps} == {None}
    finish(store, first.steps)
    second = plan(("epochs: 1", "epochs: 2"), last=first.record())
    (training,) = [step for step in second.steps if step.id == "finetune"]
    assert (training.state, training.seconds_before) == (StepState.CHANGED, 7.5)


def test_a_change_says_what_changed_and_the_steps_below_follow(plan: Planner, store: Store) -> None:
    first = plan()
    finish(store, first.steps)
    second = plan(("samples: 8", "samples: 12"), last=first.record())
    found = states(second)
    assert found["images/calibration"] is StepState.CHANGED
    assert reason(second, "images/calibration") == "calibration.samples: 8 -> 12"
    assert found["board/onnxruntime/quantize"] is StepState.FOLLOWS
    assert reason(second, "board/onnxruntime/quantize") == "after images/calibration"
    assert found["board/onnxruntime/export"] is StepState.FOLLOWS
    assert {id for id, state in found.items() if not state.runs} == {
        "splits",
        "images/validation",
        "source",
        "images/train",
        "finetune",
        "reference",
        "board/onnxruntime/compile-finetune",
        "board/onnxruntime/validate-finetune",
    }


def test_a_nested_change_is_named_with_its_path(plan: Planner, store: Store) -> None:
    first = plan()
    finish(store, first.steps)
    second = plan(("rotate: 5", "rotate: 10"), last=first.record())
    assert reason(second, "finetune") == "augment.rotate: 5.0 -> 10.0"


def test_other_weights_under_the_same_name_are_a_change(
    plan: Planner, store: Store, tmp_path: Path
) -> None:
    first = plan()
    finish(store, first.steps)
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    second = plan(last=first.record())
    assert states(second)["source"] is StepState.CHANGED
    assert reason(second, "source") == "weights changed"


def test_going_back_to_an_earlier_setting_is_cached(plan: Planner, store: Store) -> None:
    first = plan()
    finish(store, first.steps)
    second = plan(("samples: 8", "samples: 12"), last=first.record())
    finish(store, second.steps)
    assert set(states(plan(last=second.record())).values()) == {StepState.CACHED}


@pytest.mark.parametrize("name", ["quantize", "board/onnxruntime/quantize"])
def test_a_forced_step_runs_with_all_that_depends_on_it(
    plan: Planner, store: Store, name: str
) -> None:
    finish(store, plan().steps)
    planned = plan(force=(name,))
    assert {id for id, state in states(planned).items() if state is StepState.FORCED} == {
        "board/onnxruntime/quantize",
        "board/onnxruntime/validate-quantize",
        "board/onnxruntime/export",
        "board/onnxruntime/check",
        "board/onnxruntime/validate-export",
    }
    assert reason(planned, "board/onnxruntime/quantize") == "--force"
    assert reason(planned, "board/onnxruntime/export") == "follows a forced step"


def test_forcing_a_step_that_is_not_there_names_those_that_are(plan: Planner) -> None:
    with pytest.raises(InputError, match="no step quantise") as caught:
        plan(force=("quantise",))
    assert "quantize" in str(caught.value.hint)


# Keys


BELOW: dict[str, set[str]] = {
    "splits": {"splits"},
    "images": {"images/validation", "images/train", "images/calibration"},
    "source": {"source"},
    "finetune": {"finetune"},
    "calibration": {"images/calibration"},
    "quantize": {"board/onnxruntime/quantize"},
}
"""The steps whose own settings a part of a recipe is."""


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (("image_size: 32", "image_size: 32, seed: 1"), ["splits"]),
        (("image_size: 32", "image_size: 32, validation_share: 0.3"), ["splits"]),
        (("image_size: 32", "image_size: 64"), ["images", "source"]),
        (("image_size: 32", "image_size: 32, unreadable: skip"), ["images"]),
        (("w.safetensors", "w.safetensors, head: new"), ["source"]),
        (("w.safetensors", "w.safetensors, mean: 0.5"), ["source"]),
        (("epochs: 1", "epochs: 2"), ["finetune"]),
        (("epochs: 1", "epochs: 1, seed: 3"), ["finetune"]),
        (("rotate: 5", "rotate: 5, erase: 0.1"), ["finetune"]),
        (("samples: 8", "samples: 9"), ["calibration"]),
        (("samples: 8", "samples: 8, every_class: false"), ["calibration"]),
        (("samples: 8", "samples: 8, per_channel: false"), ["quantize"]),
        (("samples: 8", "samples: 8, calibration: entropy"), ["quantize"]),
        (("samples: 8", "samples: 8, float_ops: none"), ["quantize"]),
        (("max_accuracy_drop: 1.0", "max_accuracy_drop: 2.0"), []),
        (("- export", "- export: {preprocess: baked}"), []),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "-",
)
def test_a_change_gives_new_keys_to_its_step_and_those_below_and_no_other(
    plan: Planner, change: tuple[str, str], parts: list[str]
) -> None:
    before, changed = plan(), plan(change)
    expected = {id for part in parts for id in BELOW[part]}
    for step in before.steps:
        if expected & set(step.inputs.values()):
            expected.add(step.id)
    was, now = keys(before), keys(changed)
    assert {id for id in was if was[id] != now[id]} == expected


def test_a_setting_that_another_runtime_alone_uses_changes_nothing_here(plan: Planner) -> None:
    changed = plan(("samples: 8", "samples: 8, calibration: {litert: moving_average}"))
    assert keys(changed) == keys(plan())


def test_an_added_image_changes_the_splits_and_all_below(
    plan: Planner, images_folder: Path
) -> None:
    before = keys(plan())
    image = images_folder / "bar" / "00.png"
    (images_folder / "disc" / "copy.png").write_bytes(image.read_bytes() + b"\0")
    after = keys(plan())
    assert {id for id in before if before[id] == after[id]} == set()


def test_moving_the_recipe_and_its_data_changes_no_key(
    plan: Planner, recipe_path: Path, store: Store, tmp_path: Path
) -> None:
    before = keys(plan())
    moved = tmp_path / "far" / "away"
    moved.mkdir(parents=True)
    (tmp_path / "images").rename(moved / "pictures")
    shutil.move(tmp_path / "w.safetensors", moved / "weights.safetensors")
    text = TEXT.replace("path: images", "path: pictures").replace("w.saf", "weights.saf")
    (moved / "other.yaml").write_text(text)
    recipe = load_recipe(moved / "other.yaml")
    assert recipe.name == "other"
    assert keys(make_plan(recipe, [target()], store)) == before


def test_planning_writes_nothing_but_the_digests(plan: Planner, store: Store) -> None:
    plan()
    assert [p.name for p in store.root.iterdir()] == ["digests"]


# What is refused before anything runs


def test_on_the_targets_own_device_files_are_compiled_ahead_and_measured_there(
    plan: Planner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    npu = target("npu", "openvino").model_copy(update={"device": "NPU"})

    def steps() -> dict[str, Step]:
        return {step.id: step for step in plan(targets=[npu]).steps}

    assert "npu/openvino/precompile" not in steps()
    monkeypatch.setattr(
        "edgekit.pipeline.target_plan.device_is_here", lambda device: device == "NPU"
    )
    here = steps()
    assert here["npu/openvino/precompile"].inputs == {"model": "npu/openvino/export"}
    assert here["npu/openvino/validate-export"].components["settings"]["device"] == "NPU"
    # Another driver is another compiler: blobs and latencies are made again.
    (tmp_path / "libze_intel_npu.so.1").write_bytes(b"driver")
    monkeypatch.setattr("edgekit.evaluation.measure.LIBRARY_FOLDERS", (tmp_path,))
    renewed = {name for name, step in steps().items() if step.key != here[name].key}
    assert renewed == {"npu/openvino/precompile", *(n for n in here if "validate" in n)}


def test_milliseconds_without_a_device_are_refused(plan: Planner) -> None:
    with pytest.raises(InputError, match="max_latency_ms is set for board") as caught:
        plan(targets=[target(max_latency_ms=10)])
    assert "max_latency_ratio" in str(caught.value.hint)


def test_calibration_that_cannot_hold_every_class_is_refused(plan: Planner) -> None:
    with pytest.raises(DataError, match="1 calibration images cannot hold 2 classes"):
        plan(("samples: 8", "samples: 1"))


def test_weights_that_are_not_there_are_refused(plan: Planner) -> None:
    with pytest.raises(InputError, match="does not exist"):
        plan(("w.safetensors", "x.safetensors"))


def test_the_same_target_twice_is_refused(plan: Planner) -> None:
    with pytest.raises(InputError, match="named twice"):
        plan(targets=[target("a"), target("a", "litert")])


@pytest.mark.parametrize("name", ["images", "source", "reference"])
def test_a_target_cannot_bear_the_name_of_a_step(plan: Planner, name: str) -> None:
    with pytest.raises(InputError, match=f"cannot be named {name}"):
        plan(targets=[target(name)])


def test_gates_against_float_need_something_to_compare(plan: Planner) -> None:
    stages = ("- quantize: {method: ptq, samples: 8}\n  - export", "- finetune: {epochs: 1}")
    with pytest.raises(InputError, match="nothing but the float model"):
        plan(stages)  # the recipe's own gate is max_accuracy_drop


def test_the_recipe_is_kept_in_the_plan(plan: Planner, recipe_path: Path) -> None:
    planned = plan()
    assert isinstance(planned.recipe, Recipe)
    assert planned.recipe.name == recipe_path.stem


def test_variants_that_begin_alike_share_their_steps_and_rows(plan: Planner) -> None:
    alternatives = (Variant(runtime="onnxruntime", io="float"),)
    target = Target(
        name="board",
        description="for tests",
        runtimes=("onnxruntime",),
        alternatives=alternatives,
        cpu="cortex-a76",
        threads=4,
    )
    planned = plan(targets=[target])
    ids = [step.id for step in planned.steps]
    assert "board/onnxruntime/quantize" in ids
    assert "board/onnxruntime-float/quantize" not in ids
    assert "board/onnxruntime-float/export" in ids
    assert planned.targets[0].choice is None, "spared the normalisation, it is no contender"
    rows = [(row.variant, row.stage) for row in planned.targets[0].rows]
    assert rows == [
        ("onnxruntime", "finetune"),
        ("onnxruntime", "quantize"),
        ("onnxruntime", "export"),
        ("onnxruntime-float", "export"),
    ]


def test_a_split_can_be_decoded_anew_by_its_name(plan: Planner) -> None:
    planned = plan(force=("validation",))
    states = {str(step.id): step.state for step in planned.steps}
    assert states["images/validation"] is StepState.FORCED
    assert states["images/calibration"] is not StepState.FORCED
    assert states["reference"] is StepState.FORCED


def test_what_an_earlier_version_stored_is_made_anew(
    plan: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {step.id: step.key for step in plan().steps}
    monkeypatch.setattr("edgekit.engine.step.METADATA_VERSION", 1)
    before = {step.id: step.key for step in plan().steps}
    assert not set(now.values()) & set(before.values())
