"""Any field of a recipe can be read and set by its path, and nothing else can."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from edgekit.errors import ConfigError, InputError
from edgekit.spec.fields import field_paths, get_field, parse_value, told, value_text, with_fields
from edgekit.spec.recipe import Recipe, load_recipe
from edgekit.spec.yamlfile import named_document
from tests.mutations import fuzz, refusals

TEXT = """\
model: {arch: resnet18, weights: scratch}
data: {source: imagefolder, path: images, image_size: 64}
stages:
  - finetune: {epochs: 2}
  - prune: {keep: 0.5, runtime: onnxruntime}
  - quantize: {precision: int8}
  - export
"""
Write = Callable[..., Path]


def loaded(path: Path) -> Callable[[dict[str, Any]], Recipe]:
    document, recipe = named_document(path), load_recipe(path)
    return lambda changes: with_fields(document, recipe, changes)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.image_size", 96),
        ("model.arch", "resnet34"),
        ("prune.keep", 0.7),
        ("prune.recover.epochs", 3),
        ("quantize.precision", "float16"),
        ("finetune.epochs", 7),
        ("stages[0].finetune.epochs", 9),
        ("export.preprocess", "baked"),
        ("gates.max_size_mb", 2.5),
        ("allow_untrained", True),
    ],
)
def test_what_is_set_is_read_again_and_nothing_else_moves(
    write_recipe: Write, path: str, value: Any
) -> None:
    file = write_recipe(TEXT)
    before, after = load_recipe(file), loaded(file)({path: value})
    found = get_field(after, path)
    assert (found.plain if path == "data.image_size" else found) == value
    names = {p for p in field_paths(before) if not p.startswith("stages")}
    others = {p for p in names if p.partition(".")[0] not in path}
    assert all(get_field(after, p) == get_field(before, p) for p in others)
    assert load_recipe(file) == before


def test_a_mapping_changes_the_keys_that_it_names(write_recipe: Write) -> None:
    found = loaded(write_recipe(TEXT))({"model": {"arch": "resnet34"}})
    assert (found.model.arch, found.model.weights) == ("resnet34", "scratch")


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("data.imagesize", "data.image_size"),
        ("prune.kep", "prune.keep"),
        ("qat.epochs", "finetune.epochs"),
        ("stages[9].finetune.epochs", "finetune.epochs"),
        ("name", "model"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_the_nearest(
    write_recipe: Write, path: str, near: str
) -> None:
    with pytest.raises(InputError, match=near) as caught:
        loaded(write_recipe(TEXT))({path: 1})
    assert caught.value.exit_code == 2


def test_a_stage_that_stands_twice_is_named_by_its_place(write_recipe: Write) -> None:
    file = write_recipe(TEXT.replace("stages:\n", "stages:\n  - finetune: {epochs: 1}\n"))
    with pytest.raises(InputError, match=r"2 times .*stages\[0\]\.finetune\.epochs"):
        loaded(file)({"finetune.epochs": 3})
    found = loaded(file)({"stages[1].finetune.epochs": 3})
    assert [getattr(stage, "epochs", None) for stage in found.stages[:2]] == [1, 3]


def test_a_value_is_held_to_the_recipes_own_rules(write_recipe: Write) -> None:
    with pytest.raises(ConfigError, match=r"with prune\.keep=2(?s:.*)prune\.keep") as caught:
        loaded(write_recipe(TEXT))({"prune.keep": 2})
    assert caught.value.problems[0].line == 5
    untrained = TEXT.replace("  - finetune: {epochs: 2}\n", "").replace("scratch", "pretrained")
    with pytest.raises(ConfigError, match="scratch needs a finetune"):
        loaded(write_recipe(untrained))({"model.weights": "scratch"})


NUMBERS = (
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6, allow_nan=False)
)
PLAIN = NUMBERS | st.text("ab-:# {}[],'\"01", max_size=8)


@given(value=NUMBERS | st.lists(NUMBERS))
def test_a_value_is_read_as_it_was_written(value: Any) -> None:
    assert parse_value(value_text(value)) == value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_field_takes_a_value_or_says_why_not(write_recipe: Write, data: st.DataObject) -> None:
    file = write_recipe(TEXT)
    recipe = load_recipe(file)
    paths = [p for p, v in field_paths(recipe).items() if not isinstance(v, BaseModel)]
    path, value = data.draw(st.sampled_from(paths)), data.draw(PLAIN)
    with refusals():
        assert path in field_paths(loaded(file)({path: value}))


@fuzz
@given(text=st.text(max_size=60) | st.text("[{:,&*!}]'\"", max_size=4000))
def test_any_text_is_a_value_or_is_refused(text: str) -> None:
    with suppress(ValueError):
        told({"x": parse_value(text)})
