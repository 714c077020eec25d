"""Fields and their values, as they are written on the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.model_search.axes import grid, parse_axes, point_label, point_name, size_of
from tests.mutations import fuzz, refusals


def test_values_are_what_yaml_reads() -> None:
    found = parse_axes(["a=1, 0.5,true,null,int8", "model={arch: x},{arch: y}", "b=[96, 128],96"])
    assert found["a"] == [1, 0.5, True, None, "int8"]
    assert found["model"] == [{"arch": "x"}, {"arch": "y"}]
    assert found["b"] == [[96, 128], 96]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["data.image_size"], "names no values"),
        (["=1"], "names no values"),
        (["a="], "no value to try"),
        (["a=1,1"], "stands twice"),
        (["a=1", "a=2"], "stands twice"),
        (["a={1"], "not valid YAML"),
        (["a=1], [2"], "not valid YAML"),
    ],
)
def test_what_names_no_values_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_axes(texts)


def test_of_two_fields_that_end_alike_a_label_names_the_paths() -> None:
    axes = {"finetune.epochs": [1, 2], "prune.recover.epochs": [3, 4]}
    label = point_label({"finetune.epochs": 1, "prune.recover.epochs": 3}, axes)
    assert label == "finetune.epochs 1, prune.recover.epochs 3"
    models = [{"arch": "a", "weights": "w"}, {"arch": "a", "weights": "v"}]
    assert point_label({"model": models[0]}, {"model": models}) == "a, w"


@given(st.dictionaries(st.sampled_from("abc"), st.sets(st.integers(), min_size=1, max_size=4)))
def test_a_grid_holds_every_combination_once(axes: dict[str, set[int]]) -> None:
    listed = {path: sorted(values) for path, values in axes.items()}
    points = [*grid(listed)]
    assert len(points) == size_of(listed) == len({str(point) for point in points})
    assert len({point_name(point) for point in points}) == len(points)
    assert all(point[path] in values for point in points for path, values in listed.items())


@fuzz
@given(st.lists(st.text(max_size=40), max_size=3))
def test_any_text_is_read_or_refused(texts: list[str]) -> None:
    with refusals():
        parse_axes(texts)
