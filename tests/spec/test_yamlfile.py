"""Every problem of a file at once, each with its line; and never anything but our own errors."""

from __future__ import annotations

import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from edgekit.devices.inventory import read_inventory
from edgekit.errors import ConfigError, InputError, Problem
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target
from edgekit.spec.yaml_document import Document
from edgekit.spec.yamlfile import parse, suggestion
from tests.mutations import damaged_text, fuzz, mutated, refusals


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Inner(Strict):
    width: int
    mode: Literal["fast", "exact"] = "fast"


class Outer(Strict):
    name: str
    inner: Inner
    items: list[Inner] = []


def problems(tmp_path: Path, text: str, model: type[BaseModel] = Outer) -> list[Problem]:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        parse(Document(path), model)
    return caught.value.problems


def test_a_good_file_becomes_its_model(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("name: x\ninner: {width: 3}\nitems:\n  - width: 1\n    mode: exact\n")
    assert parse(Document(path), Outer) == Outer(
        name="x", inner=Inner(width=3), items=[Inner(width=1, mode="exact")]
    )


def test_every_problem_is_reported_at_once_sorted_by_line(tmp_path: Path) -> None:
    text = """\
# a comment moves every line
nam: x
inner:
  width: wide
  mode: fats
items:
  - width: 1
  - widht: 2
    width: 2
    width: 3
"""
    found = problems(tmp_path, text)
    assert [(p.line, p.where) for p in found] == [
        (2, "name"),
        (2, "nam"),
        (4, "inner.width"),
        (5, "inner.mode"),
        (8, "items[1].widht"),
        (10, "items[1].width"),
    ]
    said = {p.where: p.message for p in found}
    assert said["name"] == "this key is required"
    assert said["nam"] == "unknown key; did you mean 'name'?"
    assert "'wide'" in said["inner.width"]
    assert "'fast' or 'exact'" in said["inner.mode"]
    assert "did you mean 'width'?" in said["items[1].widht"]
    assert "twice" in said["items[1].width"]


def test_an_unknown_key_nothing_like_the_known_ones_lists_them(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "name: x\ninner: {width: 1, zzz: 1}\n")
    assert problem.message == "unknown key; known here: mode, width"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: [1, 2\n", 2),
        ("name: x\n\tinner: 1\n", 2),
        ("name: x\n--- \nname: y\n", 2),
        ("name: !!python/object:os.system x\n", 1),
        ("name: *nowhere\n", 1),
        ("name: x\nborn: 2024-13-01\n", 2),
    ],
)
def test_what_is_not_yaml_is_one_problem_with_its_line(
    tmp_path: Path, text: str, line: int
) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.line == line
    assert "not valid YAML" in problem.message


@pytest.mark.parametrize("text", ["name: &a [*a]\n", "[" * 3000 + "]" * 3000])
def test_a_file_without_an_end_is_refused(tmp_path: Path, text: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert "nested" in problem.message


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "42\n"])
def test_a_file_that_is_no_mapping_says_so(tmp_path: Path, text: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert "a mapping of keys expected" in problem.message


def test_an_empty_file_misses_its_keys(tmp_path: Path) -> None:
    assert {p.where for p in problems(tmp_path, "")} == {"name", "inner"}


def test_a_missing_file_suggests_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "mobilenet.yaml").write_text("")
    (tmp_path / "other.yaml").write_text("")
    with pytest.raises(InputError, match="no such file") as caught:
        Document(tmp_path / "mobilnet.yaml")
    assert str(tmp_path / "mobilenet.yaml") in str(caught.value.hint)
    assert "other" not in str(caught.value.hint)


@pytest.mark.parametrize("content", [b"name: \xff\xfe", None])
def test_what_cannot_be_read_as_text_is_an_input_error(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "file.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read|this is a folder"):
        Document(path)


BOMB = "\n".join([f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise("abcdefghi")])


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: 010\n", 1, "010 is 8 in YAML 1.1 and 10 in YAML 1.2"),
        ("a: 1\nname: 1:30\n", 2, "YAML reads 1:30 as 90"),
        ("name: 99999999999999999999\n", 1, "more than 64 bits"),
        (f"name: {'9' * 4300}\n", 1, "a number of 4,300 digits"),
        ("name: !!set {a, b}\n", 1, "the tag !!set is not read here"),
        ("? [a]\n: 1\n", 1, "a word expected as a key"),
        ("a: &a {b: 1}\nname: {<<: *a}\n", 2, "`<<` is not read here"),
        (f"a: &a [x]\n{BOMB}\n", None, "more than 50,000 values"),
        ('name: "a\\0b"\n', 1, "the character 0x0000"),
        ("name: a\0b\n", 1, "the character 0x0000"),
    ],
)
def test_what_would_be_read_otherwise_or_for_ever_is_refused(
    tmp_path: Path, text: str, line: int | None, said: str
) -> None:
    found = problems(tmp_path, text)
    assert [p for p in found if said in p.message and line in (p.line, None)]
    assert all(len(p.message) < 300 for p in found)


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("epoch", ["epochs", "seed"], "did you mean 'epochs'?"),
        ("xyz", ["epochs", "seed"], "known here: epochs, seed"),
        ("xyz", [], "nothing is known here"),
    ],
)
def test_suggestions(word: str, known: list[str], said: str) -> None:
    assert suggestion(word, known) == said


WORDS = """
    name model data stages gates arch weights head mean source path image_size function
    quantize export finetune stage calibration samples epochs augment distill teacher
    max_size_mb runtimes cpu threads description litert
"""
KEYS = st.sampled_from(WORDS.split())
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | KEYS
    | st.sampled_from(["elpv", "imagefolder", "int8", "scratch", "package:x", "a:b"])
)
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS | st.text(max_size=4) | st.integers(), inner, max_size=6)
    ),
    max_leaves=25,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(NESTED)
@example({"data": {"source": ["imagefolder"]}})
@example({"data": {"source": {"elpv": 1}}})
@example({"stages": [{"quantize": {"stage": "export"}}]})
@example({"stages": [{"quantize": {"calibration": [1]}}, None, [], {}, {1: 2}]})
@example({"stages": [{"quantize": {"calibration": {"litert": datetime.date(2024, 1, 1)}}}]})
@example({"model": {"weights": "package:"}, "stages": {"export": None}})
def test_no_content_raises_anything_but_our_own_errors(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    for load in (load_recipe, lambda p: load_target(str(p))):
        problems: list[Problem] = []
        try:
            load(path)
        except ConfigError as error:
            problems = error.problems
            text = str(error)
        lines = [p.line or 0 for p in problems]
        assert lines == sorted(lines)
        assert all(p.message in text for p in problems)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(alphabet="ab:-[]{}!&*|>'\"#%@`?,\n\t 01_.\x00\x85é", max_size=40))
@example("0b_")
@example("a: 0x_")
@example("2024-99-99")
@example("? {a: 1}\n: 2")
@example("<<: 1")
@example("a: !!int b")
@example("a: !!timestamp b")
@example("a: !!float b")
@example("a: !!bool b")
@example("a: !!binary é")
def test_no_text_raises_anything_but_our_own_errors(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        load_recipe(path)
    except InputError:
        pass
    else:
        pytest.fail("a recipe without a model was accepted")


GOOD_RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: [0.5, 0.5, 0.5]}
data: {source: imagefolder, path: images, image_size: 32, classes: a.txt}
stages:
  - finetune: {epochs: 2, batch_size: 12, learning_rate: 3.0e-3}
  - quantize: {samples: 24, per_channel: true, corrections: [bias]}
  - export
gates: {max_accuracy_drop: 50, min_agreement: 90}
"""
GOOD_TARGET = """\
description: a board for tests
runtimes: [litert, onnxruntime]
alternatives: [{runtime: openvino, precision: int8}]
cpu: cortex-a76
threads: 4
gates: {max_size_mb: 2.5}
use: "{{ recipe }} for {{ classes }} classes"
"""
GOOD_INVENTORY = """\
pi5: {transport: ssh, host: pi@raspberrypi.local, port: 22}
phone: {transport: adb, serial: R58M123}
a76: {transport: emulated, cpu: cortex-a76}
"""


def yaml_texts(good: str) -> st.SearchStrategy[str]:
    """The file with values that are odd, and with text that is."""
    values = mutated(yaml.safe_load(good)).map(lambda v: str(yaml.safe_dump(v)))
    return values | values | damaged_text(good)


def written(folder: Path, text: str) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


@fuzz
@given(text=yaml_texts(GOOD_RECIPE))
@example("stages: [finetune]")
def test_a_damaged_recipe(tmp_path: Path, text: str) -> None:
    with refusals():
        load_recipe(written(tmp_path, text))


@fuzz
@given(text=yaml_texts(GOOD_TARGET))
@example(GOOD_TARGET.replace("runtime: openvino", "runtime: ''"))
def test_a_damaged_target(tmp_path: Path, text: str) -> None:
    with refusals():
        load_target(str(written(tmp_path, text)))


@fuzz
@given(text=yaml_texts(GOOD_INVENTORY))
def test_a_damaged_inventory(tmp_path: Path, text: str) -> None:
    with refusals():
        read_inventory(written(tmp_path, text))


def test_what_is_damaged_was_good(tmp_path: Path) -> None:
    load_recipe(written(tmp_path, GOOD_RECIPE))
    load_target(str(written(tmp_path, GOOD_TARGET)))
    assert len(read_inventory(written(tmp_path, GOOD_INVENTORY))) == 3
