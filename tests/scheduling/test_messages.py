"""What a step raised in a worker is raised again as the same thing, as far as it can be sent."""

from __future__ import annotations

import errno
import pickle
from typing import Any

import pytest

from edgekit.errors import ConfigError, EdgekitError, MissingPackage, Problem
from edgekit.scheduling.messages import Failed
from tests.scheduling.actions import Strange


def raised(error: Exception) -> Any:
    return pickle.loads(pickle.dumps(Failed.of(error))).error()


def test_errors_of_python_keep_what_their_handlers_ask_for() -> None:
    found = raised(ModuleNotFoundError("No module named 'optuna'", name="optuna"))
    assert isinstance(found, ModuleNotFoundError)
    assert found.name == "optuna"
    full = raised(OSError(errno.ENOSPC, "No space left on device", "/x"))
    assert (type(full), full.errno, full.filename) == (OSError, errno.ENOSPC, "/x")


def test_a_librarys_error_comes_by_its_name_alone() -> None:
    found = raised(Strange("odd shape", 3))
    assert (type(found).__name__, str(found)) == ("Strange", "odd shape 3")
    assert "Strange: odd shape 3" in str(found.__cause__)


@pytest.mark.parametrize(
    "error",
    [
        MissingPackage("optuna", "search", "edgekit search"),
        ConfigError("recipe.yaml", [Problem("model.arch", 3, "no such name")]),
    ],
)
def test_edgekits_own_errors_come_whole(error: EdgekitError) -> None:
    found = raised(error)
    assert (type(found), str(found), found.hint) == (type(error), str(error), error.hint)
    assert vars(found) == vars(error)


def test_what_could_be_sent_and_not_be_read_is_left_behind() -> None:
    error = EdgekitError("no board")
    vars(error)["because"] = Strange("odd shape", 3)
    found = raised(error)
    assert str(found) == "no board"
    assert not hasattr(found, "because")
