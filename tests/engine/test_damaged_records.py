"""Records of the store that were damaged are as if they were not there, or found out by digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.engine.artifact import RECORD, Artifact, Metadata
from edgekit.engine.store import Store
from edgekit.errors import IntegrityError
from tests.mutations import fuzz, json_texts

KEY, PARENT = "k" * 64, "p" * 64


class Kept(NamedTuple):
    """A store with one artifact, the paths of its two records and what stands in them."""

    store: Store
    artifact: Artifact
    records: dict[Path, Any]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    store = Store(tmp_path_factory.mktemp("store"))
    with store.workspace() as folder:
        (folder / "weights").write_bytes(b"abc")
        artifact = store.commit(KEY, folder, Metadata(), (PARENT,), 1.5)
    paths = [artifact.path / RECORD, store.root / "steps" / f"{KEY}.json"]
    paths[0].chmod(0o644)
    return Kept(store, artifact, {path: json.loads(path.read_text()) for path in paths})


@fuzz
@given(data=st.data())
def test_any_damage_of_a_record(kept: Kept, data: st.DataObject) -> None:
    damaged = data.draw(st.sampled_from([*kept.records]))
    for path, record in kept.records.items():
        text = data.draw(json_texts(record)) if path == damaged else json.dumps(record)
        path.write_bytes(text.encode(errors="surrogatepass"))
    for found in (kept.store.find(KEY), kept.store.get(kept.artifact.digest)):
        if found is None:
            continue
        try:
            found.verify()
        except IntegrityError:
            continue
        assert (found.files, found.parents) == (kept.artifact.files, kept.artifact.parents)
