"""The border between int8 and float, on graphs small enough to try every border."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.quantization.fewest_conversions import connected, fewest_conversions
from edgekit.runtimes.contract.description import Activation


def graph(**made: str) -> list[Activation]:
    """Each tensor is called as its maker; its inputs are letters."""
    return [
        Activation(
            name=name, operator=name, layer=name, kind="", inputs=tuple(inputs), has_weights=False
        )
        for name, inputs in made.items()
    ]


def conversions(tensors: list[Activation], in_float: set[str]) -> int:
    """Tensors that some operator reads in the other precision than they are made in."""
    return sum(
        any(
            tensor.name in reader.inputs and (reader.name in in_float) != (tensor.name in in_float)
            for reader in tensors
        )
        for tensor in tensors
    )


NORM = graph(c="", m="c", d="cm", v="d", e="v", r="e", s="cr", t="mr", o="st", f="o")
"""c and f are convolutions; between them a LayerNorm taken apart."""


def test_a_layer_norm_goes_to_float_as_a_whole() -> None:
    assert fewest_conversions(NORM, {"d", "e", "r", "o"}, {"c", "f"}) == set("mdverst") | {"o"}


def test_what_would_convert_no_less_stays_in_int8() -> None:
    chain = graph(a="", b="a", c="b", d="c")
    assert fewest_conversions(chain, {"b"}, {"a", "d"}) == {"b"}


def test_int8_wins_where_an_operator_is_in_both() -> None:
    assert fewest_conversions(NORM, {"d", "f"}, {"c", "f"}).isdisjoint({"c", "f"})


@pytest.mark.parametrize("in_float", [set(), {"d"}])
def test_nothing_to_convert(in_float: set[str]) -> None:
    assert fewest_conversions([], in_float, {"c"}) == set()


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_no_border_is_cheaper_and_none_as_cheap_is_smaller(data: st.DataObject) -> None:
    names = "abcdef"
    made = {
        name: "".join(data.draw(st.sets(st.sampled_from(names[:i]), max_size=2)) if i else ())
        for i, name in enumerate(names)
    }
    tensors = graph(**made)
    in_float = data.draw(st.sets(st.sampled_from(names), max_size=3))
    in_int8 = data.draw(st.sets(st.sampled_from(names), max_size=3)) - in_float
    found = fewest_conversions(tensors, in_float, in_int8)
    free = set(names) - in_float - in_int8
    borders = [
        (conversions(tensors, in_float | {*more}), len(in_float) + size)
        for size in range(len(free) + 1)
        for more in combinations(sorted(free), size)
    ]
    assert (conversions(tensors, found), len(found)) == min(borders)
    assert in_float <= found
    assert not found & in_int8


def test_operators_that_pass_tensors_to_each_other_are_connected() -> None:
    tensors = graph(a="", b="a", c="b", d="c", e="c")
    parts = connected(tensors, {"a", "b", "d", "e"})
    assert sorted(map(sorted, parts)) == [["a", "b"], ["d"], ["e"]]
