"""Replace and remove what an earlier build published, and nothing that a person put beside it.

A build's folder is where people work: results of a device, notes and scripts end up in it. What
edgekit wrote is known by the digests in the manifests. What a person changed of it is kept under
another name.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Container, Iterable
from contextlib import suppress
from pathlib import Path

from edgekit.build_folder.reading import MANIFEST
from edgekit.devices.bundle.bundle import INFO as BUNDLE
from edgekit.engine.artifact import FileEntry, Json, sha256_of
from edgekit.engine.records import parse_json

BESIDE = ("labels.txt", "golden_input.npy", "golden_scores.npy", "classify.py")
"""What lies in a variant's folder beside its model's files."""


def list_beside(folder: Path) -> dict[str, FileEntry]:
    return {
        name: FileEntry(sha256=sha256_of(folder / name), bytes=(folder / name).stat().st_size)
        for name in BESIDE
        if (folder / name).is_file()
    }


def published_variants(folder: Path) -> Json:
    """The manifests of the variants that the last build left in a target's folder, by name."""
    return _mapping(_manifest(folder), "artifacts")


def remove_variants(folder: Path, manifests: Json) -> None:
    """Remove these variants from a target's folder."""
    for path in _folders(folder):
        if path.name in manifests:
            _remove_variant(path, manifests[path.name])


def remove_last_passed(folder: Path, shared: Iterable[str]) -> None:
    """Remove `last-passed/`: its variants, and the files that they share."""
    # A bundle has the manifest of a variant too, in a folder of another name.
    own = {path.name: _manifest(path) for path in _folders(folder)}
    remove_variants(folder, {n: found for n, found in own.items() if found.get("variant") == n})
    remove_files(folder, shared)


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove these files, and their folder if nothing else lies in it."""
    for name in names:
        if (folder / name).is_file():
            (folder / name).unlink()
    with suppress(OSError):  # there is none, or a person's files lie in it
        folder.rmdir()


def swap(part: Path, destination: Path) -> None:
    """Put a folder that is whole in its place, with what a person put into the one before."""
    kept = _foreign(destination, {path.name for path in part.iterdir()})
    if _same(part, destination, kept):
        return
    for path in _edited(part, destination):
        _copy(path, _free(part, destination, f"{path.stem}.edited", path.suffix))
    # Copied, not moved: killed at any moment, the files still lie in one of the two folders that
    # the next build keeps.
    for path in kept:
        _copy(path, part / path.name)
    old = destination.with_name(f".{destination.name}.old")
    shutil.rmtree(old, ignore_errors=True)  # publishing has made sure that it is not needed
    if destination.exists():
        destination.rename(old)
    part.rename(destination)
    shutil.rmtree(old, ignore_errors=True)


def _remove_variant(folder: Path, manifest: Json) -> None:
    if (folder / BUNDLE).exists():  # a person's, under the name of a variant
        return
    remove_files(folder, [p.name for p in folder.iterdir() if _is_own(p, manifest)])


def _foreign(folder: Path, replaced: Container[str]) -> list[Path]:
    """What a person put into a variant's folder, but for what is replaced."""
    if not folder.is_dir():
        return []
    manifest = _manifest(folder)
    others = (path for path in folder.iterdir() if path.name not in replaced)
    return [path for path in others if not _is_own(path, manifest)]


def _edited(part: Path, destination: Path) -> list[Path]:
    """What is replaced and is neither as edgekit left it nor as it will be."""
    manifest = _manifest(destination)
    replaced = [(new, destination / new.name) for new in part.iterdir()]
    return [
        old
        for new, old in replaced
        if old.exists()
        and not _is_own(old, manifest)
        and not (old.is_file() and sha256_of(old) == sha256_of(new))
    ]


def _copy(path: Path, to: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, to, symlinks=True)
    else:
        shutil.copy2(path, to, follow_symlinks=False)


def _free(part: Path, destination: Path, stem: str, suffix: str) -> Path:
    """A name that neither folder has."""
    names = (f"{stem}{number}{suffix}" for number in itertools.chain([""], itertools.count(2)))
    taken = (part, destination)
    return part / next(n for n in names if not any((folder / n).exists() for folder in taken))


def _is_own(path: Path, manifest: Json) -> bool:
    """Whether edgekit put it there, and nobody has changed it."""
    if not path.is_file():
        return False
    files = _mapping(manifest, "files")
    entry = {**files, **_mapping(manifest, "beside")}.get(path.name)
    if isinstance(entry, dict):
        return bool(entry.get("sha256") == sha256_of(path))
    # Manifests of earlier versions give no digests of what lies beside the model's files.
    is_earlier = bool(files) and "beside" not in manifest
    return path.name == MANIFEST or (is_earlier and path.name in BESIDE)


def _same(part: Path, destination: Path, kept: list[Path]) -> bool:
    """Whether edgekit's files are the same; an unchanged build then touches nothing."""
    if not destination.is_dir():
        return False
    names = {path.name for path in part.iterdir()}
    if names != {p.name for p in destination.iterdir()} - {p.name for p in kept}:
        return False
    return all(
        (destination / name).is_file() and sha256_of(part / name) == sha256_of(destination / name)
        for name in names
    )


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]


def _manifest(folder: Path) -> Json:
    """As it lies there: another version's lists its files as well, and a damaged one lists none."""
    try:
        found = parse_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _mapping(fields: Json, key: str) -> Json:
    found = fields.get(key) if isinstance(fields, dict) else None
    return found if isinstance(found, dict) else {}
