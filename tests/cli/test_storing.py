"""The store's size is said, and what is asked to go goes."""

from __future__ import annotations

import json
from pathlib import Path

from edgekit.engine.store import Store
from tests.commands import edgekit
from tests.engine.test_store_pruning import age, commit


def test_it_is_shown_and_pruned(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    def said(*words: object) -> str:
        return edgekit("store", *words, store=store.root, cwd=tmp_path).stdout

    path = commit(store, "a", "words")
    age(store, 40, path, store.root / "steps" / "a.json")
    commit(store, "b", "others")
    shown = edgekit("store", "show", store=store.root, cwd=tmp_path)
    assert "2 steps, 2 objects, 0.00 GB" in shown.stdout
    tried = edgekit(
        "store", "prune", "--unused", 30, "--dry-run", "--json", store=store.root, cwd=tmp_path
    )
    assert json.loads(tried.stdout)["objects"] == 1
    done = edgekit("store", "prune", "--unused", 30, store=store.root, cwd=tmp_path)
    assert "removed 1 steps, 1 objects" in done.stdout
    assert [*(store.root / "objects").iterdir()] != []
    refused = edgekit("store", "prune", "--unused", 1, store=store.root, cwd=tmp_path)
    assert refused.returncode == 2
    assert "hint: from 2 days on" in refused.stderr
