"""What nobody uses goes, whole; what somebody may be at stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edgekit.engine.artifact import Metadata
from edgekit.engine.store import DAY, Store
from edgekit.engine.store_pruning import StoreUse, prune, use_of
from edgekit.errors import InputError


def commit(store: Store, key: str, text: str) -> Path:
    with store.workspace() as folder:
        (folder / "words").write_text(text)
        return store.commit(key, folder, Metadata(), (), 1.0).path


def age(store: Store, days: float, *paths: Path) -> None:
    then = time.time() - days * DAY
    for path in paths:
        os.utime(path, (then, then))


@pytest.fixture
def filled(store: Store) -> Store:
    """Two steps of one object, and one of another, all forty days old."""
    paths = [
        commit(store, key, text) for key, text in zip("abc", ["one", "one", "two"], strict=True)
    ]
    age(store, 40, *paths, *(store.root / "steps").iterdir())
    return store


def test_what_was_used_lately_stays_and_what_leads_to_it(filled: Store) -> None:
    assert filled.find("a")  # which is a use
    assert prune(filled, 30, dry_run=True) == prune(filled, 30)
    assert filled.find("a")
    assert filled.find("b") is None
    assert filled.find("c") is None
    assert use_of(filled).objects == 1
    assert not [*(filled.root / "temp").iterdir()]


def test_what_is_young_stays(filled: Store) -> None:
    before = use_of(filled)
    assert before.steps == 3
    assert before.objects == 2
    assert prune(filled, 41) == StoreUse(0, 0, 0)
    commit(filled, "d", "three")
    assert prune(filled, 30).objects == 2
    found = filled.find("d")
    assert found
    found.verify()


def test_a_training_that_was_stopped_long_ago_is_removed(store: Store) -> None:
    folder = store.partial("key")
    (folder / "checkpoint.pt").write_text("x")
    prune(store, 2)
    assert folder.exists()
    age(store, 3, folder / "checkpoint.pt", folder, folder.parent)
    prune(store, 2)
    assert not folder.exists()


def test_a_use_is_noted_once_a_day(filled: Store) -> None:
    entry = filled.root / "steps" / "a.json"
    filled.find("a")
    age(filled, 0.5, entry)
    noted = entry.stat().st_mtime
    filled.find("a")
    assert entry.stat().st_mtime == noted


def test_an_empty_store_and_one_that_is_damaged(filled: Store, tmp_path: Path) -> None:
    assert use_of(Store(tmp_path / "none")) == StoreUse(0, 0, 0)
    (filled.root / "steps" / "a.json").write_text("{")
    assert prune(filled, 30).steps == 2


@pytest.mark.parametrize("days", [1.9, 0, -3, float("nan")])
def test_what_builds_may_be_at_is_not_removed(store: Store, days: float) -> None:
    with pytest.raises(InputError, match="younger than 2 days"):
        prune(store, days)
