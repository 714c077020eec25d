"""Whole files, with the rights of the umask, and nothing left of those that were killed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.engine.artifact import Metadata
from edgekit.engine.atomic import permitted, sweep, write_atomically
from edgekit.engine.store import Store
from edgekit.errors import StorageError


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_has_the_rights_that_the_umask_leaves(tmp_path: Path, mask: int) -> None:
    write_atomically(tmp_path / "new" / "a.json", "{}")
    assert mode(tmp_path / "new" / "a.json") == 0o666 & ~mask
    assert mode(tmp_path / "new") == 0o777 & ~mask
    assert permitted(0o777) == 0o777 & ~mask
    assert os.umask(mask) == mask


def test_an_object_of_the_store_too(tmp_path: Path, mask: int) -> None:
    store = Store(tmp_path / "store")
    with store.workspace() as folder:
        (folder / "sub").mkdir(mode=0o700)
        for name in ("a", "sub/b"):
            (folder / name).write_text("x", encoding="utf-8")
            (folder / name).chmod(0o600)  # as safetensors leaves its files
        made = store.commit("key", folder, Metadata(), (), 1.0)
    folders = [p for p in (tmp_path / "store").rglob("*") if p.is_dir()]
    assert {mode(path) for path in folders} == {0o777 & ~mask}
    assert {mode(made.path / name) for name in ("a", "sub/b")} == {0o444 & ~mask}
    locks = [*(tmp_path / "store" / "locks").glob("*.lock")]
    assert {mode(path) for path in locks} <= {0o666 & ~mask}


def test_what_a_killed_build_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    dead, live = tmp_path / ".a.json.0123abcd", tmp_path / ".a.json.89abcdef"
    others = [tmp_path / name for name in (".a.json.lock", ".b.json.0123abcd", "a.json.0123abcd")]
    for path in (dead, live, *others):
        path.write_text("half", encoding="utf-8")
    with live.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write_atomically(tmp_path / "a.json", "whole")
        assert not dead.exists()
        assert live.exists()
    assert all(path.exists() for path in others)
    sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".a.json.lock",
        "a.json",
        "a.json.0123abcd",
    ]


def test_the_store_sweeps_its_steps(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / ".key.json.0123abcd").touch()
    with Store(tmp_path).workspace():
        assert not list((tmp_path / "steps").iterdir())


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_atomically(tmp_path / "a", "\ud800")
    assert not list(tmp_path.iterdir())


def test_neither_a_folder_nor_a_device_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(StorageError, match="is no file"):
            write_atomically(tmp_path / name, "x")
    assert (tmp_path / "fifo").is_fifo()
