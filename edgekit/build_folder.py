"""What a build leaves in build/<recipe>/<target>/: its files and its manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgekit.engine.artifact import Artifact, FileEntry, sha256_of
from edgekit.engine.store import Store
from edgekit.errors import InputError, IntegrityError

MANIFEST, REPORT, IMAGES = "manifest.json", "report.json", "images.npy"
AGAIN = "build it again: `edgekit build RECIPE --target TARGET`, with the same --store"


def built(path: Path, store: Store) -> tuple[Artifact, Path | None]:
    """The artifact behind a variant's folder or file, and the published file, if there is one."""
    folder = path.parent if path.is_file() else path
    whole = record(folder / MANIFEST)
    file = None
    if "artifacts" in whole:
        names = ", ".join(sorted(whole["artifacts"]))
        raise InputError(f"{path} holds several variants", hint=f"name one of its folders: {names}")
    if (folder / MANIFEST).exists():
        manifest = published(folder)
        file = folder / manifest.file
        if path.is_file() and path.name != manifest.file:
            raise InputError(f"{path} is not the model: that is {file}")
        digest = manifest.lineage[-1]["digest"]
    else:
        rows = [r for r in record(folder.parent / REPORT).get("rows", ()) if _is(r, folder.name)]
        if not rows:
            raise InputError(
                f"{path} is neither a variant's folder of a build nor the model in one",
                hint="give build/<recipe>/<target>/<variant>, or name the float file with --float",
            )
        digest = rows[-1]["artifact"]
    found = store.get(digest)
    if found is None:
        raise InputError(f"{path} was not built with the store {store.root}", hint=AGAIN)
    return found, file


def _is(row: dict[str, Any], variant: str) -> bool:
    return bool(row["variant"] == variant)


class Manifest(BaseModel):
    """What a variant's manifest.json must tell of its files."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    runtime: str
    precision: str
    file: str
    files: dict[str, FileEntry]
    lineage: list[dict[str, str]] = Field(min_length=1)


def published(folder: Path) -> Manifest:
    """The manifest of a variant's folder, whose files are what it says.

    Raises:
        InputError: it is no manifest of a variant.
        IntegrityError: a file is missing, or another than the build made.
    """
    try:
        manifest = Manifest.model_validate(record(folder / MANIFEST))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{folder / MANIFEST} is no manifest of a variant: {where}: {first['msg']}", hint=AGAIN
        ) from error
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise IntegrityError(f"{path} is missing", hint=AGAIN)
        if (found := sha256_of(path)) != entry.sha256:
            raise IntegrityError(
                f"{path} is not the file that was built and judged: its sha256 is {found[:16]}, "
                f"the manifest says {entry.sha256[:16]}",
                hint=f"{AGAIN}; or take a file that you changed out of the build's folder",
            )
    return manifest


def record(path: Path) -> dict[str, Any]:
    """A record of a build; empty where there is none.

    Raises:
        InputError: it is damaged.
    """
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}", hint=AGAIN) from error
    if not isinstance(read, dict):
        raise InputError(f"{path} cannot be read: a mapping expected", hint=AGAIN)
    return read
