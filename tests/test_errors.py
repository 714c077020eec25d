"""Exit codes are what scripts rely on; messages are what people read."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekit import errors
from edgekit.errors import (
    ConfigError,
    DataError,
    EdgekitError,
    MissingPackage,
    Problem,
    StorageError,
    storage_errors,
)


def tree(root: type[EdgekitError]) -> dict[str, type[EdgekitError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            found |= tree(child)
    return found


def drawn() -> dict[str, tuple[str | None, int]]:
    """Parent and exit code of each class, as the docstring of the module draws them."""
    found: dict[str, tuple[str | None, int]] = {}
    above: list[tuple[int, str]] = []
    pattern = r"^    ([ |+-]*)([A-Z]\w+)(?: +(\d))?"
    for indent, name, code in re.findall(pattern, errors.__doc__ or "", re.MULTILINE):
        above = [(depth, parent) for depth, parent in above if depth < len(indent)]
        parent = above[-1][1] if above else None
        found[name] = (parent, int(code) if code else found[str(parent)][1])
        above.append((len(indent), name))
    return found


def test_the_tree_is_the_one_drawn_in_the_docstring() -> None:
    real = tree(EdgekitError)
    assert {
        name: (cls.__bases__[0].__name__ if cls is not EdgekitError else None, cls.exit_code)
        for name, cls in real.items()
    } == drawn()


def test_exit_codes_do_not_move() -> None:
    codes = {name: cls.exit_code for name, cls in tree(EdgekitError).items()}
    assert codes["EdgekitError"] == 1
    assert codes["InputError"] == codes["ConfigError"] == codes["StorageError"] == 2
    assert codes["GateBroken"] == codes["NotAsAsked"] == 3
    assert codes["IntegrityError"] == 4
    assert codes["DeviceError"] == 5


def test_a_config_error_shows_every_problem_with_its_line() -> None:
    error = ConfigError("r.yaml", [Problem("a.b", 3, "bad"), Problem("", None, "worse")])
    assert str(error).splitlines() == [
        "r.yaml: 2 problems",
        "  line 3: a.b: bad",
        "  file: worse",
    ]


def test_a_missing_package_names_what_to_install() -> None:
    error = MissingPackage("onnx", "onnxruntime", "the runtime")
    assert "onnx" in str(error)
    assert error.hint == "pip install 'edgekit-vision[onnxruntime]'"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_storage_errors_become_input_errors_with_a_hint(code: int) -> None:
    with pytest.raises(StorageError, match=r"/store/x") as caught, storage_errors(Path("/store")):
        raise OSError(code, "as the system says", "/store/x")
    assert caught.value.exit_code == 2
    assert "--store" in str(caught.value.hint)


@pytest.mark.parametrize("place", ["/store/x", b"/store/x", "/store", "/", None])
def test_a_permission_is_the_storages_where_it_concerns_the_storage(
    place: str | bytes | None,
) -> None:
    with pytest.raises(StorageError), storage_errors(Path("/store")):
        raise PermissionError(errno.EACCES, "Permission denied", place)


def test_a_permission_elsewhere_passes_and_a_full_disk_does_not() -> None:
    with pytest.raises(PermissionError), storage_errors(Path("/store")):
        raise PermissionError(errno.EACCES, "Permission denied", "/storehouse/image.png")
    with pytest.raises(StorageError, match="/elsewhere"), storage_errors(Path("/store")):
        raise OSError(errno.ENOSPC, "No space left on device", "/elsewhere")


def test_other_errors_pass_storage_errors_unchanged() -> None:
    with pytest.raises(ConnectionError), storage_errors(Path("/store")):
        raise ConnectionError
    with pytest.raises(DataError), storage_errors(Path("/store")):
        raise DataError("x")


class SafetensorError(Exception):
    """As safetensors', by name: errors.py must not import it."""


@pytest.mark.parametrize(
    "error",
    [
        OSError("4096 requested and 512 written"),
        SafetensorError("Error while serializing: I/O error: No space left (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 128 vs 22"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
    ],
    ids=str,
)
def test_a_full_disk_is_seen_in_what_libraries_say(error: Exception) -> None:
    with pytest.raises(StorageError, match="no space"), storage_errors(Path("/store")):
        raise error


def test_a_write_that_fails_on_a_disk_without_space_fails_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        with storage_errors(tmp_path):
            raise RuntimeError("as nobody foresaw")

    with pytest.raises(RuntimeError, match="foresaw"):
        fail()
    full = SimpleNamespace(free=4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda where: full)
    with pytest.raises(StorageError, match="no space"):
        fail()


@pytest.mark.parametrize(
    ("place", "ours"), [("/store/x", True), ("/elsewhere", False), (3, False), (None, False)]
)
def test_only_what_edgekit_makes_again_may_be_deleted(place: str | int | None, ours: bool) -> None:
    with pytest.raises(StorageError) as caught, storage_errors(Path("/store")):
        raise OSError(errno.ENOSPC, "No space left on device", place)
    assert ("may be deleted" in str(caught.value.hint)) == ours


def test_a_full_stick_is_named_and_nobody_is_told_to_delete_it() -> None:
    with pytest.raises(StorageError) as caught, storage_errors(Path("/stick"), "--out"):
        raise OSError(errno.ENOSPC, "No space left on device", "/home/model", None, "/stick/model")
    assert str(caught.value).endswith("writing to /stick/model")
    assert caught.value.hint == "free some space, or choose another place with --out"


@pytest.mark.parametrize("below", ["", "temp"])
def test_a_store_that_is_a_file_is_refused_by_name(tmp_path: Path, below: str) -> None:
    (tmp_path / "store").touch()
    where = tmp_path / "store" / below
    with pytest.raises(StorageError, match="store is a file"), storage_errors(where):
        (where / "x").mkdir(parents=True, exist_ok=True)
    with pytest.raises(StorageError, match="store is a file"), storage_errors(where):
        (tmp_path / "store").mkdir()


def test_a_file_in_the_way_elsewhere_passes(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), storage_errors(tmp_path / "store"):
        raise FileExistsError(errno.EEXIST, "File exists", str(tmp_path))
