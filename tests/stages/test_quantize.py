"""method: auto, corrections and mixed precision, on networks that train in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.agent import agent
from edgekit.cli._step_result import told_of
from edgekit.engine.artifact import Artifact
from edgekit.engine.observer import Silent
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.errors import ConfigError, DataError, InputError
from edgekit.evaluation.gates import Gates
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import Build, execute
from edgekit.quantization.auto import AutoSearch
from edgekit.quantization.float_by_time import FloatByTimeSearch
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.quantization.trials import QuantizationConfig
from edgekit.report.doubts import doubts
from edgekit.report.publish import publish
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata, FloatByTime
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.recipe import load_recipe, recipe_schema
from edgekit.spec.target import Target
from edgekit.stages.quantize import Quantize
from tests.conftest import write_images

TEXT = """\
model: {{arch: {arch}, weights: scratch, mean: 0.5, std: 0.5}}
data: {{source: imagefolder, path: {images}, image_size: 32}}
stages:
  - finetune: {{epochs: 6, batch_size: 12, learning_rate: 3.0e-3}}
  - quantize: {{samples: {samples}, {quantize}}}
"""
AUTO = "held_back: 24"
EVERYTHING = f"{AUTO}, mixed: none"
"""Asked of a search that nothing ends."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and a store in which networks stay trained."""
    root = tmp_path_factory.mktemp("quantize")
    write_images(root / "images", count=48)
    return root


def built(
    world: Path, quantize: str, runtime: str, arch: str = "test_efficientnet", samples: int = 24
) -> Build:
    recipe = world / "tiny.yaml"
    text = TEXT.format(arch=arch, images=world / "images", samples=samples, quantize=quantize)
    recipe.write_text(text)
    target = Target(name="board", description="for tests", runtimes=(runtime,), cpu="x", threads=1)
    plan = make_plan(load_recipe(recipe), [target], Store(world / "store"))
    return execute(plan, Store(world / "store"), Silent())


def quantized(build: Build) -> Artifact:
    assert not build.targets[0].faults, build.targets[0].faults
    return next(a for name, a in build.artifacts.items() if name.endswith("/quantize"))


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert", "openvino"])
def test_auto_is_as_good_as_the_best_it_tried(
    world: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopCriterion, "holds", lambda self, trial: False)
    build = built(world, EVERYTHING, runtime)
    found = quantized(build).metadata
    every = found["search"]["tried"]
    tried = [row for row in every if "int16x8" not in row["way"]]
    cause = [row for row in every if "int16x8" in row["way"]]
    assert [row["chosen"] for row in cause] == ([] if runtime == "openvino" else [False])
    figures = [row["trial"]["sqnr_db"] for row in tried]
    chosen = next(row for row in tried if row["chosen"])
    assert chosen["trial"]["sqnr_db"] == max(figures)
    assert {row["trial"]["images"] for row in tried} == {24}
    assert any("bias" in row["way"] for row in tried)
    assert any("adaround" in row["way"] for row in tried)
    assert found["quantization"]["corrections"] == [
        name for name in ("equalise", "smooth", "adaround", "bias") if name in chosen["way"]
    ]
    validation = build.targets[0].rows[-1].validation
    assert validation.sqnr_db > max(figures) - 8
    assert found["quantization"]["weight_bits"] == (7 if runtime == "openvino" else 8)
    told = any("8-bit weights may saturate" in line for line in doubts(build, build.targets[0]))
    assert told == (runtime == "onnxruntime")


def test_ranges_alone_are_searched_where_the_effort_is_theirs(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopCriterion, "holds", lambda self, trial: False)
    found = quantized(built(world, f"{AUTO}, effort: ranges", "onnxruntime")).metadata
    ways = [row["way"] for row in found["search"]["tried"]]
    assert len(ways) == 5
    assert not [way for way in ways if "+" in way or "int16x8" in way]
    assert not {"mixed", "by_time"} & found.keys()


def test_images_that_judge_are_neither_calibrated_on_nor_validated(world: Path) -> None:
    build = built(world, AUTO, "onnxruntime")
    splits = ("calibration", "held-back", "validation")
    seen = {name: build.artifacts[StepId(f"images/{name}")] for name in splits}
    images = {
        name: {image.tobytes() for image in np.load(artifact.file("images.npy"))}
        for name, artifact in seen.items()
    }
    assert [len(images[name]) for name in splits] == [24, 24, 24]
    assert len(set.union(*images.values())) == 72
    step = next(s for s in build.plan.steps if s.id == "board/onnxruntime/quantize")
    assert set(step.inputs) == {"model", "calibration", "held_back", "source"}


def test_the_search_ends_at_the_gate(world: Path) -> None:
    found = quantized(built(world, f"{AUTO}, stop_at: 50", "onnxruntime")).metadata
    assert len(found["search"]["tried"]) == 1
    assert found.get("mixed") is None


@pytest.mark.parametrize("mixed", ["auto", "none"])
def test_what_time_returns_to_float_is_in_the_file_and_in_its_record(
    world: Path, mixed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(search: FloatByTimeSearch) -> tuple[QuantizationConfig, FloatByTime]:
        made = search.trials.runtime.activations(search.trials.float_file(()))
        names = tuple(each.operator for each in made if each.kind in ("Sigmoid", "Mul"))
        return search.config.keep_in_float(names), FloatByTime(tried=(), operators=names, ended="")

    monkeypatch.setattr(FloatByTimeSearch, "run", run)
    quantize = f"{AUTO}, stop_at: 51, mixed: {mixed}"
    found = quantized(built(world, quantize, "onnxruntime")).described_by(CompiledMetadata)
    assert found.quantization is not None
    assert found.audit is not None
    assert bool(found.quantization.float_ops) == (mixed == "auto")
    assert bool(found.audit.left_in_float) == (mixed == "auto")
    assert (found.by_time.operators if found.by_time else ()) == found.quantization.float_ops


@pytest.mark.parametrize(
    ("gates", "asked"),
    [
        ({}, (98.5, None)),
        ({"max_accuracy_drop": 1.0}, (98.5, 1.0)),
        ({"max_accuracy_drop": 3.0}, (97, 3.0)),
        ({"max_accuracy_drop": 3.0, "min_agreement": 98}, (98, 3.0)),
        ({"max_accuracy_drop": 1.0, "min_agreement": 97}, (98.5, 1.0)),
        ({"min_agreement": 97}, (97, None)),
        ({"max_latency_ratio": 0.5}, (98.5, None)),
    ],
)
def test_gates_say_where_to_stop(
    gates: dict[str, float], asked: tuple[float, float | None]
) -> None:
    held = Gates.model_validate(gates)
    assert Quantize().for_gates(held).asked == StopCriterion(*asked)
    assert Quantize(stop_at=90, max_drop=2).for_gates(held).asked == StopCriterion(90, 2)
    assert Quantize(stop_at=90).for_gates(held).asked == StopCriterion(90, asked[1])
    plain = Quantize(method="ptq")
    assert plain.for_gates(held) is plain


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({}, "auto"),
        ({"precision": "int8"}, "auto"),
        ({"samples": 24, "per_channel": False, "float_ops": "none"}, "auto"),
        ({"calibration": None}, "auto"),
        ({"calibration": {"litert": "mse"}}, "ptq"),
        ({"calibration": "percentile", "percentile": 99.0}, "ptq"),
        (
            {"calibration": {"litert": "mse", "onnxruntime": "percentile"}, "percentile": 99.0},
            "ptq",
        ),
        ({"corrections": ["bias"]}, "ptq"),
        ({"corrections": []}, "auto"),
        ({"corrections": [], "method": "auto"}, "auto"),
        ({"precision": "float16"}, "ptq"),
        ({"method": "ptq"}, "ptq"),
    ],
)
def test_who_says_how_to_quantise_does_not_want_it_searched(
    settings: dict[str, Any], method: str
) -> None:
    assert Quantize.model_validate(settings).method == method


def test_the_plan_says_which_method_is_taken() -> None:
    searched = Quantize().for_gates(Gates(max_accuracy_drop=1.0)).plan_note(1000, classes=2)
    assert "until 98.5 % agreement and at most 1 point lost hold on 200 images" in searched
    assert "too few to judge by" in Quantize().plan_note(20, classes=2)
    assert Quantize(calibration="mse").plan_note(20, classes=2).startswith("method: ptq")


def test_the_default_ends_with_the_first_way_that_holds(world: Path, tmp_path: Path) -> None:
    build = built(world, "every_class: true", "onnxruntime")
    found = quantized(build)
    metadata = found.described_by(CompiledMetadata)
    assert metadata.search
    assert len(metadata.search.tried) == 1
    assert metadata.search.best.trial.agreement == 100
    assert metadata.quantization
    assert metadata.quantization.method == "auto"
    assert "of 1 tried on 48 held-back images" in metadata.how_quantized
    assert build.plan.targets[0].notes["quantize"].startswith("method: auto")
    step = next(s for s in build.plan.steps if s.id.name == "quantize")
    assert told_of(step, found) == metadata.how_quantized
    ((_, folder),) = publish(build, tmp_path)
    assert f"- onnxruntime: {metadata.how_quantized}." in (folder / "report.md").read_text()
    manifest = json.loads((folder / "onnxruntime/manifest.json").read_text())
    assert manifest["quantization"]["method"] == "auto"


def test_operators_that_need_not_stay_in_float_go_back(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mixed precision on real files, of a network that eight bits do not break."""
    monkeypatch.setattr(AutoSearch, "falls_short", lambda self, record: True)
    settings = f"{AUTO}, stop_at: 60, max_float_macs: 0.5"
    found = quantized(built(world, settings, "onnxruntime")).metadata
    mixed = found["mixed"]
    assert [len(step["operators"]) for step in mixed["curve"]] == [0]
    assert all(step["trial"]["agreement"] >= 60 for step in mixed["curve"])
    assert mixed["kept"] == []
    assert found["quantization"]["float_ops"] == []
    assert "0 operators in float hold what was asked: 60 %" in mixed["ended"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
@pytest.mark.parametrize("calibration", ["mse", "percentile", "entropy"])
def test_every_calibration_works_on_every_runtime(
    world: Path, runtime: str, calibration: str
) -> None:
    build = built(world, f"calibration: {calibration}", runtime)
    assert quantized(build).metadata["quantization"]["calibration"] == calibration
    assert build.targets[0].rows[-1].validation.agreement.value > 70


def test_corrections_can_be_asked_for(world: Path) -> None:
    plain = built(world, "calibration: mse", "onnxruntime")
    corrected = built(world, "calibration: mse, corrections: [bias, adaround]", "onnxruntime")
    before, after = (b.targets[0].rows[-1].validation.sqnr_db for b in (plain, corrected))
    # What they win is tested for each by itself: these scores are near float's without them.
    assert after != before
    assert quantized(corrected).metadata["quantization"]["corrections"] == ["bias", "adaround"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("method: auto, calibration: mse", "auto finds calibration by itself"),
        ("method: auto, corrections: [bias]", "auto finds corrections by itself"),
        ("method: auto, precision: float16", "auto searches for int8"),
        ("method: auto, precision: int16x8", "int16x8 needs method: ptq"),
        ("precision: float16, corrections: [bias]", "corrections are for integers"),
        ("calibration: mse, stop_at: 99", "stop_at is for method: auto alone"),
        ("percentile: 99.9", r"write quantize: \{calibration: percentile, percentile: 99.9\}"),
        ("calibration: {litert: mse}, percentile: 99.9", "percentile is for calibration"),
        ("corrections: [bais]", "corrections"),
        ("effort: ranges, mixed: auto", "effort: ranges puts nothing in float: remove mixed"),
        ("method: ptq, effort: ranges", "effort is for method: auto alone"),
        ("held_back: 3", "held_back"),
        ("islands: none, float_ops: auto", "islands is the old name of float_ops: remove islands"),
    ],
)
def test_settings_that_contradict_are_told(
    write_recipe: Callable[..., Path], settings: str, message: str
) -> None:
    path = write_recipe(
        TEXT.format(arch="test_efficientnet", images=".", samples=24, quantize=settings)
    )
    with pytest.raises(ConfigError, match=message):
        load_recipe(path)


def test_too_few_images_to_hold_back(world: Path) -> None:
    with pytest.raises(DataError, match="24 images to calibrate on and 60 to hold back"):
        built(world, "held_back: 60", "onnxruntime")


@pytest.mark.parametrize(
    ("images", "settings", "divided"),
    [
        (1000, {}, (256, 200)),
        (228, {}, (128, 100)),
        (228, {"samples": 200}, (200, 28)),
        (228, {"samples": 220}, (220, 0)),
        (228, {"held_back": 100}, (256, 100)),
        (20, {}, (256, 0)),
    ],
)
def test_few_images_are_divided_between_calibration_and_judging(
    images: int, settings: dict[str, int], divided: tuple[int, int]
) -> None:
    """What the recipe says of them stands; where too few would judge, all are calibrated on."""
    stage = Quantize.model_validate(settings)
    assert stage.divided(images, classes=2) == divided


def test_every_class_is_calibrated_on_before_any_image_is_held_back() -> None:
    assert Quantize().divided(228, classes=180) == (180, 48)


def test_a_search_without_images_to_judge_it_is_told(world: Path) -> None:
    build = built(world, "max_float_macs: 1.0", "onnxruntime", samples=70)
    assert quantized(build).metadata.get("search") is None
    assert (
        "unjudged: too few images" in quantized(build).described_by(CompiledMetadata).how_quantized
    )
    assert any("too few training images" in line for line in doubts(build, build.targets[0]))


def test_the_second_quantiser_takes_no_ranges_from_elsewhere() -> None:
    runtime: Any = find_runtimes()["onnxruntime"]()
    variant = Variant(runtime="onnxruntime", quantizer="nncf")
    with pytest.raises(InputError, match="does not offer mse"):
        Quantize(calibration="mse").quantization_for(runtime, variant)
    assert Quantize(calibration="mse").quantization_for(runtime, Variant(runtime="onnxruntime"))


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_int16x8_ships_where_it_is_asked_for_and_says_what_it_computes_in(
    world: Path, runtime: str, tmp_path: Path
) -> None:
    build = built(world, "precision: int16x8, corrections: [bias]", runtime)
    metadata = quantized(build).described_by(CompiledMetadata)
    used = metadata.quantization
    assert used
    assert (used.precision, used.method, used.corrections) == ("int16x8", "ptq", ("bias",))
    assert metadata.search is None
    told = "in float between 16-bit codes" if runtime == "onnxruntime" else "off the runtime's fast"
    assert told in metadata.how_quantized
    row = build.targets[0].rows[-1]
    assert row.validation.sqnr_db > 30
    ((_, folder),) = publish(build, tmp_path)
    manifest = json.loads((folder / runtime / "manifest.json").read_text())
    assert manifest["precision"] == "int16x8"
    assert told in (folder / "report.md").read_text()
    assert told in (folder / "report.html").read_text().replace("&#39;", "'")


@pytest.mark.parametrize(
    ("variant", "settings", "message"),
    [
        ({"runtime": "openvino"}, {}, "openvino does not offer int16x8"),
        ({"runtime": "openvino", "via": "onnxruntime"}, {}, "openvino does not offer int16x8"),
        ({"runtime": "onnxruntime", "quantizer": "nncf"}, {}, "offer int16x8 by nncf"),
        ({"runtime": "litert"}, {"calibration": "mse"}, "does not offer mse for int16x8"),
    ],
)
def test_where_there_is_no_int16x8_it_is_refused_by_name(
    variant: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    asked = Variant(**variant)
    maker: Any = find_runtimes()[asked.via or asked.runtime]()
    stage = Quantize.model_validate({"precision": "int16x8", **settings})
    with pytest.raises(InputError, match=message):
        stage.settings_for(maker, asked)


@pytest.mark.parametrize(
    ("runtime", "settings", "timed"),
    [
        ("litert", {}, True),
        ("litert", {"mixed": "none"}, False),
        ("litert", {"method": "ptq"}, False),
        ("litert", {"precision": "float16"}, False),
        ("onnxruntime", {}, False),
    ],
)
def test_what_is_timed_is_of_the_machine_that_timed_it(
    runtime: str, settings: dict[str, Any], timed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Any = find_runtimes()[runtime]()
    stage, variant = Quantize.model_validate(settings), Variant(runtime=runtime)
    before = stage.settings_for(made, variant)
    monkeypatch.setattr(agent, "cpu_name", lambda: "another one")
    assert (stage.settings_for(made, variant) != before) == timed


def test_the_old_name_of_float_ops_means_the_same_and_is_told_once(
    write_recipe: Callable[..., Path],
) -> None:
    notes: list[str] = []
    path = write_recipe(TEXT.format(arch="x", images=".", samples=24, quantize="islands: none"))
    old = load_recipe(path, notes.append)
    assert notes == [f"{path}, line 5: quantize.islands is now float_ops"]
    path = write_recipe(TEXT.format(arch="x", images=".", samples=24, quantize="float_ops: none"))
    assert load_recipe(path, notes.append) == old
    assert len(notes) == 1
    fields = recipe_schema()["$defs"]["Quantize"]["properties"]
    assert "float_ops" in fields
    assert "islands" not in fields
