"""Damaged tables are read or refused with their line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.data.sources._csv_table import read_table
from edgekit.errors import DataError
from tests.mutations import damaged, damaged_text, fuzz, refusals

GOOD = [
    "path,label,split\nbar/1.png,bar,train\ndisc/1.png,disc,val\n",
    'sep=;\r\nPath;Class\r\n"bar\\1.png";"b;r"\r\n',
    "file_name\tlabel\nbar/1.png\tbar\n",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@fuzz
@given(text=st.one_of([damaged_text(good) for good in GOOD]))
def test_damaged_text(folder: Path, text: str) -> None:
    (folder / "t.csv").write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    with refusals():
        read_table(folder / "t.csv")


@fuzz
@given(content=st.one_of([damaged(good.encode()) for good in GOOD]))
def test_damaged_bytes(folder: Path, content: bytes) -> None:
    (folder / "t.csv").write_bytes(content)
    with refusals():
        read_table(folder / "t.csv")


def test_lines_are_counted_below_excels_mark(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\npath;label\n1.png;a\n2.png;\n")
    with pytest.raises(DataError, match=r"t\.csv:4: a path and a label"):
        read_table(tmp_path / "t.csv")


def test_two_columns_that_could_be_the_path_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,image,label\n1.png,2.png,a\n")
    with pytest.raises(DataError, match="file and image could each be the column path"):
        read_table(tmp_path / "t.csv")


def test_other_headings_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file_name,Label\n1.png,a\n")
    ((problem,),) = [read_table(tmp_path / "t.csv")[1]]
    assert problem.words == "t.csv: columns taken: file_name for path"


def test_a_name_that_is_too_long_is_a_file_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"path,label\n{'9' * 5000}\\1.png,bar\n")
    (sample,), _ = read_table(tmp_path / "t.csv")
    assert sample.name.startswith("999")


def test_a_split_of_any_length_is_refused_on_one_screen(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"path,label,split\n1.png,bar,{'9' * 5000}\n")
    with pytest.raises(DataError, match=r"t\.csv:2: unknown split '9+…9+'$") as refused:
        read_table(tmp_path / "t.csv")
    assert len(refused.value.message) < 500
