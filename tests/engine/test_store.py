"""The store survives two builds at once, a kill, a full disk and an edit by hand."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict

from edgekit.engine.artifact import RECORD, Artifact, Metadata, digest_of, sha256_of
from edgekit.engine.atomic import write_atomically
from edgekit.engine.store import Store, default_store
from edgekit.errors import InputError, IntegrityError, StorageError

KEY = "k" * 64


class Anything(Metadata):
    """Metadata of no kind that edgekit has."""

    model_config = ConfigDict(extra="allow")


class Trained(Metadata):
    epochs: int
    note: str | None = None


def put(store: Store, key: str = KEY, content: str = "content", **metadata: Any) -> Artifact:
    with store.workspace() as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(content)
        return store.commit(key, folder, Anything(**metadata), ("parent",), seconds=1.23456)


def edit(path: Path, text: str) -> None:
    path.chmod(0o644)
    path.write_text(text)


def leftovers(store: Store) -> list[str]:
    return [p.name for p in (store.root / "temp").iterdir()]


def test_what_is_committed_is_found_and_whole(store: Store) -> None:
    made = put(store, labels=["a"])
    found = Store(store.root).find(KEY)
    assert found == made
    assert made.metadata == {"labels": ["a"]}
    assert made.parents == ("parent",)
    assert made.seconds == 1.235
    assert made.file("sub/a.txt").read_text() == "content"
    assert made.files["sub/a.txt"].sha256 == sha256_of(made.path / "sub" / "a.txt")
    made.verify()
    assert leftovers(store) == []


def test_metadata_that_json_changes_still_verifies(store: Store) -> None:
    made = put(store, shape=(1, 2), names={10: "a", 9: "b"}, loss=float("inf"))
    made.verify()
    assert made.metadata == {"shape": [1, 2], "names": {"10": "a", "9": "b"}, "loss": float("inf")}


def test_metadata_are_read_by_the_class_that_wrote_them(store: Store) -> None:
    made = put(store, epochs=3)
    assert made.described_by(Trained) == Trained(epochs=3)
    assert made.described_by(Trained) is made.described_by(Trained)
    assert Trained(epochs=3).record() == {"epochs": 3}
    assert Trained(epochs=3).updated(note="slow").record() == {"epochs": 3, "note": "slow"}


@pytest.mark.parametrize("fields", [{"rounds": 3}, {"epochs": 3, "islands": []}])
def test_metadata_of_another_version_are_refused_in_one_line(
    store: Store, fields: dict[str, Any]
) -> None:
    made = put(store, **fields)
    assert not made.is_described_by(Trained)
    with pytest.raises(IntegrityError, match="is no Trained of this version") as caught:
        made.described_by(Trained)
    assert "\n" not in caught.value.message
    assert f"delete {made.path} and build again" in str(caught.value.hint)


def test_an_absent_key_is_not_found(store: Store) -> None:
    assert store.find(KEY) is None
    put(store)
    assert store.find("other") is None


def test_the_digest_follows_files_metadata_and_parents_not_the_key(store: Store) -> None:
    first = put(store, "one", epochs=1)
    assert put(store, "two", epochs=1).digest == first.digest
    assert put(store, "three", epochs=2).digest != first.digest
    assert put(store, "four", "other content", epochs=1).digest != first.digest


def test_a_lost_object_is_a_step_that_never_ran(store: Store) -> None:
    made = put(store)
    made.path.rename(store.root / "away")
    assert store.find(KEY) is None
    assert put(store).digest == made.digest


def test_stored_files_are_read_only(store: Store) -> None:
    made = put(store)
    for name in (RECORD, "sub/a.txt"):
        assert stat.S_IMODE((made.path / name).stat().st_mode) == 0o444


def test_a_corrupt_file_is_named_with_what_was_expected_and_found(store: Store) -> None:
    made = put(store)
    expected = made.files["sub/a.txt"].sha256
    edit(made.path / "sub" / "a.txt", "CONTENT")
    found = sha256_of(made.path / "sub" / "a.txt")
    with pytest.raises(IntegrityError, match=f"sub/a.txt.*{expected}.*{found}") as caught:
        made.verify()
    assert str(made.path) in str(caught.value.hint)


@pytest.mark.parametrize("damage", ["shorter", "gone"])
def test_a_file_of_another_size_is_refused_when_it_is_used(store: Store, damage: str) -> None:
    made = put(store)
    path = made.path / "sub" / "a.txt"
    path.unlink() if damage == "gone" else edit(path, "c")
    with pytest.raises(IntegrityError, match="expected 7 bytes"):
        made.file("sub/a.txt")


def damage_record(made: Artifact) -> None:
    record = (made.path / RECORD).read_text()
    edit(made.path / RECORD, record[: len(record) // 2])


def damage_file(made: Artifact) -> None:
    edit(made.path / "sub" / "a.txt", "CONTENT")


def lose_file(made: Artifact) -> None:
    (made.path / "sub" / "a.txt").unlink()


@pytest.mark.parametrize("damage", [damage_record, damage_file, lose_file])
def test_building_again_heals_a_corrupt_object(
    store: Store, damage: Callable[[Artifact], None]
) -> None:
    made = put(store)
    damage(made)
    healed = put(store)
    assert healed == made
    healed.verify()
    assert leftovers(store) == []


def test_an_object_that_is_whole_is_kept(store: Store) -> None:
    made = put(store)
    before = (made.path / RECORD).stat()
    put(store, "another key")
    assert (made.path / RECORD).stat().st_ino == before.st_ino


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 1, "metadata": {}, "parents": []}'])
def test_a_record_that_cannot_be_read_is_a_step_that_never_ran(store: Store, text: str) -> None:
    made = put(store)
    edit(made.path / RECORD, text)
    assert store.find(KEY) is None


def test_an_edited_record_is_refused_even_if_it_fits_the_files(store: Store) -> None:
    made = put(store, precision="int8")
    record = json.loads((made.path / RECORD).read_text())
    record["metadata"]["precision"] = "float32"
    edit(made.path / RECORD, json.dumps(record))
    found = store.find(KEY)
    assert found is not None
    with pytest.raises(IntegrityError, match=RECORD):
        found.verify()


def test_a_workspace_that_fails_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.workspace() as folder:
            (folder / "half").write_text("x")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert leftovers(store) == []
    assert not (store.root / "objects").exists()


def test_partial_results_last_until_the_step_is_done(store: Store) -> None:
    (store.partial(KEY) / "checkpoint").write_text("x")
    assert (Store(store.root).partial(KEY) / "checkpoint").read_text() == "x"
    put(store)
    assert list(store.partial(KEY).iterdir()) == []


def test_of_other_inputs_nothing_is_resumed(store: Store) -> None:
    before = store.partial(KEY, ("a",))
    (before / "checkpoint").write_text("x")
    assert [*store.partial(KEY, ("b",)).iterdir()] == []
    assert not before.exists()
    (store.partial(KEY, ("b",)) / "checkpoint").write_text("y")
    assert [*store.partial(KEY, ("b",), fresh=True).iterdir()] == []


def commit_at_once(root: Path, gate: Any, key: str) -> None:
    store = Store(root)
    with store.workspace() as folder:
        (folder / "a.txt").write_text("same")
        gate.wait(30)
        store.commit(key, folder, Metadata(), (), 0.0)


@pytest.mark.parametrize("keys", [("one", "one"), ("one", "two")])
def test_two_builds_that_make_the_same_thing_at_once_end_with_one_object(
    store: Store, keys: tuple[str, str]
) -> None:
    forks = multiprocessing.get_context("fork")
    gate = forks.Barrier(2)
    builds = [forks.Process(target=commit_at_once, args=(store.root, gate, key)) for key in keys]
    for build in builds:
        build.start()
    for build in builds:
        build.join(60)
    assert [build.exitcode for build in builds] == [0, 0]
    assert len(list((store.root / "objects").iterdir())) == 1
    assert leftovers(store) == []
    for key in keys:
        found = store.find(key)
        assert found is not None
        found.verify()


def test_two_builds_that_heal_the_same_object_at_once_both_end_well(store: Store) -> None:
    with store.workspace() as folder:
        (folder / "a.txt").write_text("same")
        made = store.commit("one", folder, Metadata(), (), 0.0)
    edit(made.path / "a.txt", "SAME")
    test_two_builds_that_make_the_same_thing_at_once_end_with_one_object(store, ("two", "three"))


def hold_lock(root: Path, held: Any, release: Any, done: Path) -> None:
    with Store(root).lock(KEY):
        held.set()
        release.wait(30)
        done.touch()


def test_a_second_build_waits_for_the_lock(store: Store, tmp_path: Path) -> None:
    forks = multiprocessing.get_context("fork")
    held, release, done = forks.Event(), forks.Event(), tmp_path / "done"
    build = forks.Process(target=hold_lock, args=(store.root, held, release, done))
    build.start()
    assert held.wait(30)
    with store.lock("another key"):
        assert not done.exists()
    release.set()
    with store.lock(KEY):
        assert done.exists()
    build.join(30)


KILLED = """\
import sys, time
from pathlib import Path
from edgekit.engine.store import Store
store = Store(Path(sys.argv[1]))
with store.lock(sys.argv[2]), store.workspace() as folder:
    (folder / "half").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_build_killed_in_the_middle_leaves_no_step_and_no_lock(store: Store) -> None:
    command = [sys.executable, "-c", KILLED, str(store.root), KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as build:
        assert build.stdout is not None
        assert build.stdout.readline() == "ready\n"
        build.send_signal(signal.SIGKILL)
    assert build.returncode == -signal.SIGKILL
    assert store.find(KEY) is None
    with store.lock(KEY):
        assert put(store).file("sub/a.txt").read_text() == "content"


def test_an_atomic_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, "long text")
    write_atomically(path, "é")
    assert path.read_text(encoding="utf-8") == "é"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root and a machine that lets it")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_a_storage_error_and_leaves_no_step(tiny_disk: Path) -> None:
    store = Store(tiny_disk / "store")
    with pytest.raises(StorageError, match="no space left"):
        put(store, content="x" * 200_000)
    assert store.find(KEY) is None
    assert leftovers(store) == []
    put(store, content="small").verify()


def test_a_full_disk_while_the_step_is_recorded_leaves_no_step(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError) as caught:
            put(store)
    assert caught.value.exit_code == 2
    assert store.find(KEY) is None
    put(store).verify()


def test_a_file_outside_the_store_that_cannot_be_read_is_not_the_stores_fault(
    store: Store, tmp_path: Path
) -> None:
    def read_an_image() -> None:
        with store.lock(KEY), store.workspace():
            raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "image.png"))

    with pytest.raises(PermissionError):
        read_an_image()


def test_the_store_lies_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("EDGEKIT_STORE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_store() == tmp_path / "edgekit"
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "own"))
    assert default_store() == tmp_path / "own"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EDGEKIT_STORE", "~/x")
    assert default_store() == tmp_path / "x"
    monkeypatch.setenv("EDGEKIT_STORE", "~nosuchuser/x")
    with pytest.raises(InputError, match="EDGEKIT_STORE: ~nosuchuser/x"):
        default_store()


def test_the_digest_of_a_value_does_not_depend_on_the_order_of_its_keys() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1, "b": [2]}) != digest_of({"a": 1, "b": [3]})


def test_what_a_killed_build_left_is_swept_away(store: Store) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from edgekit.engine.store import Store\n"
        "with Store(Path(sys.argv[1])).workspace(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(store.root)], check=False)
    assert leftovers(store)
    with store.workspace() as mine:
        assert sorted(leftovers(store)) == [mine.name, f"{mine.name}.lock"]
    assert leftovers(store) == []


def test_the_workspace_of_a_live_build_stays_wherever_its_process_is_seen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As from another container, in which the process numbers of this one do not exist.
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)
    with store.workspace() as theirs, Store(store.root).workspace():
        assert theirs.is_dir()


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").touch()
    store = Store(tmp_path / "store")
    for use in (store.find, store.partial):
        with pytest.raises(StorageError, match="store is a file"):
            use(KEY)


def test_who_waits_for_a_lock_is_told_once(store: Store) -> None:
    told: list[str] = []
    with store.lock("key", waiting=lambda: told.append("first")):
        other = threading.Thread(target=_take, args=(store, told))
        other.start()
        while not told:
            time.sleep(0.01)
        assert told == ["second"]
    other.join(10)
    assert told == ["second", "taken"]


def _take(store: Store, told: list[str]) -> None:
    with store.lock("key", waiting=lambda: told.append("second")):
        told.append("taken")
