"""Damaged class lists are read or refused, and never half of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.data.class_list import read_class_list
from edgekit.errors import DataError
from tests.mutations import damaged, fuzz, json_texts, refusals

FOUND = {"bar", "disc", "ring"}
GOOD = [
    ["bar", "disc", "ring"],
    {"0": "bar", "1": "disc", "2": "ring"},
    {"bar": [0], "disc": 1, "ring": 2},
    {"id2label": {"0": "bar", "1": "disc", "2": "ring"}, "model_type": "vit"},
    {"0": ["n1", "bar"], "1": ["n2", "disc"], "2": ["n3", "ring"]},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lists")


def check(path: Path) -> None:
    with refusals():
        names = read_class_list(path, FOUND)
        assert all(isinstance(name, str) for name in names)


@fuzz
@given(text=st.one_of([json_texts(good) for good in GOOD]))
def test_damaged_json(folder: Path, text: str) -> None:
    (folder / "c.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    check(folder / "c.json")


@fuzz
@given(content=damaged("bar\r\ndïsc\r\nring\r\n".encode()))
def test_damaged_lines(folder: Path, content: bytes) -> None:
    (folder / "c.txt").write_bytes(content)
    check(folder / "c.txt")


def test_a_list_that_fits_two_orders_names_one_that_works(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"0": "1", "1": "2", "2": "0"}')
    with pytest.raises(DataError, match="two ways: 1, 2, 0 or 2, 0, 1") as error:
        read_class_list(path, {"0", "1", "2"})
    path.write_text(str(error.value.hint).partition("as a list: ")[2])
    assert read_class_list(path, {"0", "1", "2"}) == ["1", "2", "0"]


def test_both_orders_alike_are_no_doubt(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"0": "1", "1": "0"}))
    assert read_class_list(tmp_path / "c.json", {"0", "1"}) == ["1", "0"]
