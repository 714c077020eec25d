"""The history's SQLite file in the store.

A row of `entries` is a build or a device report. What is asked for by name is a column; figures
stand in the JSON of `entry`, as none goes without its evidence: `json_extract(entry,
'$.top1.value')` reads one.

Safe for builds at once: a write is one transaction that waits for others (WAL, a busy timeout).
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from edgekit.devices.bench.report import SliceAnswers
from edgekit.engine.records import BadRecord, parse_record
from edgekit.errors import InputError, IntegrityError, StorageError
from edgekit.history.entry import Entry, Recorded

FILE = "history.sqlite"
APPLICATION = 0x45444B48
"""SQLite's application_id: that the file is edgekit's history."""
BUSY_SECONDS = 30.0
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE entries (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, recorded TEXT NOT NULL,
            kind TEXT NOT NULL, recipe TEXT, target TEXT, device TEXT, sha TEXT,
            entry TEXT NOT NULL, answers BLOB)""",
        "CREATE INDEX entries_of ON entries (recipe, target)",
        """CREATE TABLE artifacts (
            digest TEXT NOT NULL, entry INTEGER NOT NULL REFERENCES entries (number))""",
        "CREATE INDEX artifacts_of ON artifacts (digest)",
    ),
)
"""What leads from each schema to the next one, from none to the first."""
SCHEMA = len(MIGRATIONS)
ASIDE = "move it away, and the next build begins a new one"
NOT_WRITTEN = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
}  # fmt: skip
"""What the disk or another process causes, and no damage."""


class History:
    """The history that lies in a store.

    Every method raises a `StorageError` where the disk fails it, an `IntegrityError` where the file
    is damaged or no history, and an `InputError` where a newer edgekit wrote it.
    """

    def __init__(self, store: Path) -> None:
        self.path = store / FILE

    def add(self, recorded: Sequence[Recorded]) -> None:
        """All or none of them."""
        with _told(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect("rwc")) as connection:
                with _transaction(connection):
                    self._migrate(connection)
                # Outside of transactions, and of a file that is edgekit's; it wants the file alone.
                with suppress(sqlite3.OperationalError):
                    connection.execute("PRAGMA journal_mode = WAL")
                with _transaction(connection):
                    for each in recorded:
                        _insert(connection, each)

    def entries(self, recipe: str | None = None, target: str | None = None) -> list[Entry]:
        """Oldest first.

        Args:
            recipe, target: of this one alone.
        """
        rows = self._read(
            "SELECT entry FROM entries WHERE (?1 IS NULL OR recipe = ?1) AND "
            "(?2 IS NULL OR target = ?2) ORDER BY number",
            (recipe, target),
        )
        return [self._entry(text) for (text,) in rows]

    def answers(self, entry: Entry) -> SliceAnswers | None:
        """What the model said of each image; None where that is not kept."""
        rows = self._read("SELECT answers FROM entries WHERE id = ?", (entry.id,))
        packed = rows[0][0] if rows else None
        if packed is None:
            return None
        try:
            return parse_record(SliceAnswers, zlib.decompress(packed))
        except (BadRecord, TypeError, zlib.error) as error:
            raise self._damaged(error) from error

    def build_of(self, artifact: str) -> Entry | None:
        """The newest build that made an artifact of this digest."""
        rows = self._read(
            "SELECT entries.entry FROM artifacts JOIN entries ON entries.number = artifacts.entry "
            "WHERE digest = ? ORDER BY number DESC LIMIT 1",
            (artifact,),
        )
        return self._entry(rows[0][0]) if rows else None

    def _entry(self, text: str) -> Entry:
        try:
            return parse_record(Entry, text)
        except BadRecord as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> IntegrityError:
        return IntegrityError(f"{self.path} is damaged: {error}", hint=ASIDE)

    def _read(self, query: str, values: tuple[str | None, ...]) -> list[tuple[Any, ...]]:
        """Nothing where there is no history yet."""
        with _told(self.path):
            if not self.path.exists():
                return []
            try:
                return self._rows("ro", query, values)
            except sqlite3.OperationalError as error:
                if _code(error) not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
                    raise
            # WAL wants a file beside it even to be read, which a read-only disk has no place for.
            return self._rows("ro&immutable=1", query, values)

    def _rows(self, mode: str, query: str, values: tuple[str | None, ...]) -> list[tuple[Any, ...]]:
        with closing(self._connect(mode)) as connection:
            if self._is_current(connection):
                return connection.execute(query, values).fetchall()
            # The file is brought up to date by what writes to it; who reads has a copy.
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
                connection.backup(copy)
                self._migrate(copy)
                return copy.execute(query, values).fetchall()

    def _connect(self, mode: str) -> sqlite3.Connection:
        where = f"{self.path.absolute().as_uri()}?mode={mode}"
        return sqlite3.connect(where, uri=True, timeout=BUSY_SECONDS, isolation_level=None)

    def _is_current(self, connection: sqlite3.Connection) -> bool:
        """Whether it has this edgekit's schema, and no older one."""
        version = _version(connection)
        if version > SCHEMA:
            raise InputError(
                f"{self.path} was written by a newer edgekit (schema {version}; this one reads "
                f"{SCHEMA})",
                hint="update edgekit, or name another store: --store FOLDER",
            )
        if version == SCHEMA:
            return True
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if tables and application != APPLICATION:
            raise IntegrityError(f"{self.path} is no history of edgekit's", hint=ASIDE)
        return False

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """In a transaction, so that of two at once one alone does it."""
        if self._is_current(connection):
            return
        for statement in (line for step in MIGRATIONS[_version(connection) :] for line in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _insert(connection: sqlite3.Connection, recorded: Recorded) -> None:
    entry, answers, artifacts = recorded
    packed = zlib.compress(answers.model_dump_json().encode()) if answers else None
    number = connection.execute(
        "INSERT INTO entries (id, recorded, kind, recipe, target, device, sha, entry, answers) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.id, entry.recorded, entry.kind, entry.recipe, entry.target, entry.device,
            entry.commit.sha if entry.commit else None, entry.model_dump_json(), packed,
        ),
    ).lastrowid  # fmt: skip
    connection.executemany(
        "INSERT INTO artifacts VALUES (?, ?)", [(digest, number) for digest in artifacts]
    )


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    # IMMEDIATE: two that read first and then write would deadlock, and no timeout helps there.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def _code(error: sqlite3.Error) -> int:
    """Without the details in its upper bits."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as edgekit's own."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in NOT_WRITTEN:
            raise StorageError(
                f"{path}: {error}", hint="name another store: --store FOLDER"
            ) from error
        raise IntegrityError(f"{path} is damaged: {error}", hint=ASIDE) from error
    except UnicodeDecodeError as error:  # sqlite3 quotes a damaged schema, and cannot
        raise IntegrityError(f"{path} is damaged: {error}", hint=ASIDE) from error
    except OSError as error:
        raise StorageError(
            f"{path} cannot be used: {error.strerror}",
            hint="name another store: --store FOLDER",
        ) from error
