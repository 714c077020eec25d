"""One's own data from a function beside the recipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from edgekit.datasets.base import Listing
from edgekit.datasets.python import Python
from edgekit.errors import DataError

MODULE = "own_cells"
CODE = """\
from pathlib import Path
from edgekit.datasets.base import Listing, Sample

def cells():
    return Listing((Sample("1", Path(__file__), "a"),), ("a",))

def wrong():
    return [1, 2]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / f"{MODULE}.py").write_text(CODE)
    yield tmp_path
    sys.modules.pop(MODULE, None)


def listed(base: Path, function: str) -> Listing:
    return Python(source="python", image_size=32, function=function).listing(base)


def test_a_function_beside_the_recipe_is_found(folder: Path) -> None:
    path = list(sys.path)
    listing = listed(folder, f"{MODULE}:cells")
    assert listing.classes == ("a",)
    assert listing.samples[0].path == folder / f"{MODULE}.py"
    assert sys.path == path


@pytest.mark.parametrize("function", [f"{MODULE}:celsl", "own_nothing:cells"])
def test_what_cannot_be_found_is_refused_by_name(folder: Path, function: str) -> None:
    with pytest.raises(DataError, match=f"cannot find {function}"):
        listed(folder, function)


def test_a_function_that_returns_something_else_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"wrong returned list, an edgekit Listing"):
        listed(folder, f"{MODULE}:wrong")


@pytest.mark.parametrize("function", ["cells", "a:b:c", "os.system('x')", ""])
def test_what_is_no_name_of_a_function_is_refused(function: str) -> None:
    with pytest.raises(ValidationError, match="function"):
        Python(source="python", image_size=32, function=function)
