"""The history's file: two at once, other versions, damage, and disks that fail."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InputError, IntegrityError, StorageError
from edgekit.history import database
from edgekit.history.database import History
from edgekit.history.recording import record_builds, record_device_report
from tests.comparison.samples import device_report
from tests.devices.tiny import tiny_bundle
from tests.history.samples import COMMIT, history_of, recorded, report_of
from tests.mutations import damaged, fuzz, json_texts, refusals

ROWS = 25
WRITER = f"""
import sys
from pathlib import Path
from edgekit.history.database import History
from tests.history.samples import recorded, report_of
report = report_of(Path(sys.argv[2]) / "photos/rpi")
print("ready", flush=True)
input()
for _ in range({ROWS}):
    History(Path(sys.argv[1])).add([recorded(report)])
"""


def test_what_is_written_is_read(tmp_path: Path) -> None:
    report = report_of(tmp_path / "photos/rpi")
    kept = recorded(report)
    history = History(tmp_path / "store")
    assert history.entries() == []
    history.add([kept])
    assert history.entries() == [kept.entry]
    assert history.answers(kept.entry) == kept.answers
    assert history.build_of(report.rows[-1].artifact) == kept.entry
    assert history.build_of("0" * 64) is None
    assert history.entries("photos", "rpi5") == history.entries("other") == []
    assert (kept.entry.commit, kept.entry.status) == (COMMIT, "passed")


def test_two_processes_write_at_once_from_the_first_row_on(tmp_path: Path) -> None:
    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(tmp_path / "store"), str(tmp_path / name)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    writers = [start("one"), start("two")]
    for writer in writers:
        assert writer.stdout
        assert writer.stdin
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, told = writer.communicate(timeout=120)
        assert writer.returncode == 0, told
    found = History(tmp_path / "store").entries()
    assert len({entry.id for entry in found}) == len(found) == 2 * ROWS


def test_its_writers_wait_for_no_reader(tmp_path: Path) -> None:
    history = history_of(tmp_path, report_of(tmp_path / "photos/rpi"))
    with closing(sqlite3.connect(history.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_path_that_is_no_text_loses_no_row(tmp_path: Path) -> None:
    report = report_of(tmp_path / "photos/rpi")
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    assert record_builds(tmp_path, [(report, folder)], None) == ""
    (entry,) = History(tmp_path).entries()
    assert entry.report.endswith("caf\\udce9/report.json")


def test_all_of_a_build_is_written_or_nothing(tmp_path: Path) -> None:
    kept = recorded(report_of(tmp_path / "photos/rpi"))
    history = History(tmp_path / "store")
    with pytest.raises(IntegrityError):
        history.add([kept, kept])  # the same id twice
    assert history.entries() == []


def test_a_newer_edgekit_is_told_and_nothing_is_changed(tmp_path: Path) -> None:
    report = report_of(tmp_path / "photos/rpi")
    history = history_of(tmp_path, report)
    with closing(sqlite3.connect(history.path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match=r"a newer edgekit \(schema 99; this one reads 1\)"):
        history.entries()
    told = record_builds(tmp_path, [(report, tmp_path)], None)
    assert told.startswith("this build is not in the history: ")
    assert len(told.splitlines()) == 1


def test_an_older_schema_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = history_of(tmp_path, report_of(tmp_path / "photos/rpi"))
    steps = (*database.MIGRATIONS, ("ALTER TABLE entries ADD COLUMN note TEXT",))
    monkeypatch.setattr(database, "MIGRATIONS", steps)
    monkeypatch.setattr(database, "SCHEMA", len(steps))
    before = history.path.read_bytes()
    assert len(history.entries()) == 1
    assert history.path.read_bytes() == before
    history.add([recorded(report_of(tmp_path / "again/photos/rpi"))])
    with closing(sqlite3.connect(history.path)) as connection:
        assert connection.execute("SELECT note FROM entries").fetchall() == [(None,)] * 2
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_what_a_later_edgekit_adds_to_a_row_is_passed_over(tmp_path: Path) -> None:
    history = history_of(tmp_path, report_of(tmp_path / "photos/rpi"))
    before = history.entries()
    with closing(sqlite3.connect(history.path)) as connection, connection:
        later = "json_set(entry, '$.later', 1, '$.commit.later', 2)"
        connection.execute(f"UPDATE entries SET entry = {later}")
    assert history.entries() == before


def test_a_store_that_cannot_be_looked_into_costs_one_line(tmp_path: Path) -> None:
    store = tmp_path / ("x" * 300)  # no file system has such a name
    with pytest.raises(StorageError):
        History(store).entries()
    ran = device_report(tiny_bundle(tmp_path / "bundle"))
    ran.artifact = ran.artifact.model_copy(update={"lineage": [{"digest": "d" * 64}]})
    told = record_device_report(store, ran, tmp_path / "device-report.json")
    assert told.startswith("this run is not in the history: ")
    assert len(told.splitlines()) == 1


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = history_of(tmp_path, report_of(tmp_path / "photos/rpi"))
    wrong = ("ALTER TABLE entries ADD COLUMN note TEXT", "ALTER TABLE nothing ADD COLUMN x")
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, wrong))
        patch.setattr(database, "SCHEMA", 2)
        with pytest.raises(IntegrityError):
            history.add([recorded(report_of(tmp_path / "again/photos/rpi"))])
    assert len(history.entries()) == 1


@pytest.mark.parametrize("content", [b"no database at all" * 99, b"SQLite format 3\0" + b"x" * 900])
def test_what_is_no_database_is_told(tmp_path: Path, content: bytes) -> None:
    history = History(tmp_path)
    history.path.write_bytes(content)
    with pytest.raises(IntegrityError) as told:
        history.entries()
    assert told.value.hint
    with pytest.raises(IntegrityError):
        history.add([recorded(report_of(tmp_path / "photos/rpi"))])
    assert history.path.read_bytes() == content


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    history = History(tmp_path)
    with closing(sqlite3.connect(history.path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(IntegrityError, match="no history of edgekit's"):
        history.add([recorded(report_of(tmp_path / "photos/rpi"))])
    with closing(sqlite3.connect(history.path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize("change", ["entry = '{}'", "answers = 'text'", "answers = x'00'"])
def test_a_damaged_row_is_told(tmp_path: Path, change: str) -> None:
    history = history_of(tmp_path, report_of(tmp_path / "photos/rpi"))
    (entry,) = history.entries()
    with closing(sqlite3.connect(history.path)) as connection, connection:
        connection.execute(f"UPDATE entries SET {change}")
    read = history.entries if change.startswith("entry") else partial(history.answers, entry)
    with pytest.raises(IntegrityError, match="is damaged"):
        read()


def test_a_schema_of_no_letters_is_told(tmp_path: Path) -> None:
    history = history_of(tmp_path, report_of(tmp_path / "photos/rpi"))
    damaged = history.path.read_bytes().replace(b"CREATE TABLE", b"CREATE TABL\x80")
    history.path.write_bytes(damaged)
    with pytest.raises(IntegrityError, match="is damaged"):
        history.entries()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("sound")
    return history_of(folder, report_of(folder / "photos/rpi"))


@fuzz
@given(data=st.data())
def test_a_damaged_file_is_told_or_read(sound: History, data: st.DataObject) -> None:
    (entry,) = sound.entries()
    history = History(sound.path.parent / "damaged")
    history.path.parent.mkdir(exist_ok=True)
    history.path.write_bytes(data.draw(damaged(sound.path.read_bytes())))
    with refusals():
        history.entries("photos", "rpi")
        history.answers(entry)
        history.build_of("0" * 64)


@fuzz
@given(data=st.data())
def test_a_row_of_any_content_is_told_or_read(sound: History, data: st.DataObject) -> None:
    (entry,) = sound.entries()
    text = data.draw(json_texts(json.loads(entry.model_dump_json())))
    history = History(sound.path.parent / "row")
    history.path.parent.mkdir(exist_ok=True)
    shutil.copy(sound.path, history.path)
    with closing(sqlite3.connect(history.path)) as connection, connection:
        connection.execute("UPDATE entries SET entry = ?", (text.encode(errors="replace"),))
    with refusals():
        history.entries()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root and a machine that lets it")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_costs_one_line(tmp_path: Path, mounted: Path) -> None:
    report = report_of(tmp_path / "photos/rpi")
    told = ""
    for _ in range(20):
        told = told or record_builds(mounted, [(report, tmp_path)], None)
    assert "this build is not in the history: " in told
    assert "full" in told or "I/O" in told
    assert len(told.splitlines()) == 1


def test_a_read_only_disk_costs_one_line_and_is_read(tmp_path: Path, mounted: Path) -> None:
    report = report_of(tmp_path / "photos/rpi")
    subprocess.run(["mount", "-o", "remount,size=4m", str(mounted)], check=True)
    history = history_of(mounted, report)
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    told = record_builds(mounted, [(report, tmp_path)], None)
    assert told.startswith("this build is not in the history: ")
    assert len(history.entries()) == 1
    with pytest.raises(StorageError):
        History(mounted / "new").add([recorded(report)])
