"""Exit codes are what scripts rely on; messages are what people read."""

from __future__ import annotations

import errno
import re
from pathlib import Path

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
        name: (None if cls is EdgekitError else cls.__base__.__name__, cls.exit_code)
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
