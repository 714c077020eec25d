"""Artifacts: a folder with a digest, parents and metadata of a kind that its maker declares."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr

from edgekit.engine.records import BadRecord, parse_record
from edgekit.errors import IntegrityError

Json = dict[str, Any]
RECORD = "artifact.json"


class FileEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: str
    bytes: int


class Metadata(BaseModel):
    """What an action says of its artifact; each kind of artifact is a class of its own.

    As it stands it is that of artifacts whose files say everything.
    """

    # JSON of our own may hold infinity: the loss of a training that diverged.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def updated(self, **fields: object) -> Self:
        """The same, but for these fields."""
        return self.model_validate(dict(self) | fields)

    def record(self) -> Json:
        """As it is stored: without the fields that say nothing, so that a new optional field
        leaves the digests of what does not use it as they were."""
        fields = self.model_dump(mode="json")
        return {name: value for name, value in fields.items() if value is not None}


Kind = TypeVar("Kind", bound=Metadata)
Kept = TypeVar("Kept", bound=BaseModel)


class Artifact(BaseModel):
    """What a step made. `digest` covers the files, the metadata and the parents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    path: Path
    files: dict[str, FileEntry]
    metadata: Json
    parents: tuple[str, ...]
    seconds: float = 0.0
    _described: dict[type[Metadata], Metadata] = PrivateAttr(default_factory=dict)
    _hashed: dict[str, tuple[int, ...]] = PrivateAttr(default_factory=dict)
    """The state on the disk in which a file was hashed and found whole."""

    def described_by(self, kind: type[Kind]) -> Kind:
        """Its metadata, as the class that its maker wrote them with.

        Raises:
            IntegrityError: another version of edgekit wrote them, or they are of another kind.
        """
        if kind not in self._described:
            try:
                self._described[kind] = parse_record(kind, self.metadata)
            except BadRecord as error:
                raise IntegrityError(
                    f"{self.path / RECORD} is no {kind.__name__} of this version of edgekit: "
                    f"{error}",
                    hint=f"another version made it: delete {self.path} and build again",
                ) from error
        found = self._described[kind]
        assert isinstance(found, kind)
        return found

    def is_described_by(self, kind: type[Metadata]) -> bool:
        """Whether its metadata are of this kind."""
        try:
            self.described_by(kind)
        except IntegrityError:
            return False
        return True

    def file(self, name: str) -> Path:
        """The path of one of its files.

        Raises:
            IntegrityError: the file's size is not what the record says.
        """
        path = self.path / name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            size = -1
        if size != self.files[name].bytes:
            raise self._corrupt(name, f"{self.files[name].bytes} bytes", f"{size} bytes")
        return path

    def verified(self, name: str) -> Path:
        """The path of one of its files that is to leave the store, hashed again.

        It is hashed once for each state on the disk: a build hands the validation images out for
        every variant, and they may be gigabytes.

        Raises:
            IntegrityError: the file or the record is not the one that was stored.
        """
        self._verify_record()
        stat = self.file(name).stat()
        state = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if self._hashed.get(name) != state:
            self._verify_file(name)
            self._hashed[name] = state
        return self.path / name

    def read(self, name: str, model: type[Kept]) -> Kept:
        """What stands in one of its JSON files.

        Raises:
            IntegrityError: as `file`, or another version of edgekit wrote it.
        """
        path = self.file(name)
        try:
            return parse_record(model, path.read_bytes())
        except BadRecord as error:
            raise IntegrityError(
                f"{path} is no {model.__name__} of this version of edgekit: {error}",
                hint=f"another version made it: delete {self.path} and build again",
            ) from error

    def verify(self) -> None:
        """Hash every file again.

        Raises:
            IntegrityError: a file or the record is not the one that was stored.
        """
        self._verify_record()
        for name in self.files:
            self._verify_file(name)

    def _verify_record(self) -> None:
        actual = digest_of(record_of(self.files, self.metadata, self.parents))
        if actual != self.digest:
            raise self._corrupt(RECORD, f"digest {self.digest}", f"digest {actual}")

    def _verify_file(self, name: str) -> None:
        expected, actual = self.files[name].sha256, sha256_of(self.file(name))
        if actual != expected:
            raise self._corrupt(name, f"sha256 {expected}", f"sha256 {actual}")

    def _corrupt(self, name: str, expected: str, actual: str) -> IntegrityError:
        return IntegrityError(
            f"{self.path / name} is not what was stored: expected {expected}, found {actual}",
            hint="a disk fault, a full disk or an edit by hand; "
            f"delete {self.path} and build again",
        )


def record_of(files: dict[str, FileEntry], metadata: Json, parents: tuple[str, ...]) -> Json:
    """What the digest covers, as it comes back from JSON: keys are text, tuples are lists."""
    entries = {name: entry.model_dump() for name, entry in files.items()}
    record = {"files": entries, "metadata": metadata, "parents": list(parents)}
    plain: Json = json.loads(json.dumps(record))
    return plain


def digest_of(value: Any) -> str:
    """sha256 of the canonical JSON of a value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
