"""One's own data from a function beside the recipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from edgekit.data.size import Size
from edgekit.data.sources.base import Listing
from edgekit.data.sources.python import Python
from edgekit.engine.user_paths import loaded_from
from edgekit.errors import DataError

MODULE = "own_cells"
CODE = """\
from pathlib import Path
from edgekit.data.sources.base import Listing, Sample

def cells():
    return Listing((Sample("1", Path(__file__), "a"),), ("a",))

def wrong():
    return [1, 2]

def needs(argument):
    return argument

def row(line):
    return line["label"]

def fails():
    return row({})

def uses():
    import own_lazy
    return [int(x) for x in own_lazy.TEXT]

def leaves():
    raise SystemExit("no data")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / f"{MODULE}.py").write_text(CODE)
    yield tmp_path
    sys.modules.pop(MODULE, None)
    sys.modules.pop("own_lazy", None)


def listed(base: Path, function: str) -> Listing:
    settings = {"source": "python", "image_size": 32, "function": function}
    return Python.model_validate(settings, context=loaded_from(base)).listing()


def test_a_function_beside_the_recipe_is_found(folder: Path) -> None:
    path = list(sys.path)
    listing = listed(folder, f"{MODULE}:cells")
    assert listing.classes == ("a",)
    assert listing.samples[0].path == folder / f"{MODULE}.py"
    assert sys.path == path


@pytest.mark.parametrize("function", [f"{MODULE}:celsl", f"{MODULE}:needs", "own_nothing:cells"])
def test_what_cannot_be_called_is_refused_by_name(folder: Path, function: str) -> None:
    with pytest.raises(DataError, match=f"cannot call {function}: "):
        listed(folder, function)


@pytest.mark.parametrize(
    ("function", "line", "error"),
    [
        ("fails", "return line", "KeyError: 'label'"),
        ("leaves", "raise SystemExit", "SystemExit: no data"),
        ("uses", "import own_lazy", "ModuleNotFoundError: No module named 'own_lazy'"),
    ],
)
def test_an_error_in_the_function_names_its_file_and_line(
    folder: Path, function: str, line: str, error: str
) -> None:
    number = next(i for i, text in enumerate(CODE.splitlines(), start=1) if line in text)
    place = re.escape(str(folder / f"{MODULE}.py"))
    with pytest.raises(DataError, match=f"{MODULE}:{function} failed at {place}:{number}: {error}"):
        listed(folder, f"{MODULE}:{function}")


@pytest.mark.parametrize("code", ["x = 1\nx.cells\n", "x = 1\nimport own_nothing\n", "x = 1\n:\n"])
def test_an_error_while_the_module_is_imported_names_its_file_and_line(
    tmp_path: Path, code: str
) -> None:
    (tmp_path / "own_broken.py").write_text(code)
    with pytest.raises(DataError, match=r"failed at .*own_broken\.py:2: ") as caught:
        listed(tmp_path, "own_broken:cells")
    assert caught.value.__cause__ is not None


def test_a_module_beside_the_recipe_may_be_imported_late(folder: Path) -> None:
    (folder / "own_lazy.py").write_text("TEXT = 'ab'")
    with pytest.raises(DataError, match=r"own_cells\.py:\d+: ValueError: invalid literal"):
        listed(folder, f"{MODULE}:uses")


def test_a_function_that_returns_something_else_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"wrong returned list, an edgekit Listing"):
        listed(folder, f"{MODULE}:wrong")


@pytest.mark.parametrize("function", ["cells", "a:b:c", "os.system('x')", ""])
def test_what_is_no_name_of_a_function_is_refused(function: str) -> None:
    with pytest.raises(ValidationError, match="function"):
        Python(source="python", image_size=Size.square(32), function=function)
