"""Read what a build left: its manifests, its report, and the artifact behind a folder."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgekit.build_folder.manifest import Manifest, TargetManifest
from edgekit.build_folder.report import Report
from edgekit.engine.artifact import Artifact, sha256_of
from edgekit.engine.records import BadRecord, Record, parse_json, parse_record, shown
from edgekit.engine.store import Store
from edgekit.errors import InputError, IntegrityError

MANIFEST, REPORT, IMAGES = "manifest.json", "report.json", "images.npy"
PLAN, ON_DEVICE, LAST_PASSED = "plan.json", "on-device", "last-passed"
TARGET_KEYS, REPORT_KEYS = {"recipe", "target", "artifacts"}, {"recipe", "target", "rows"}
BUILD_AGAIN = "build it again: `edgekit build RECIPE --target TARGET`, with the same --store"


def artifact_of(path: Path, store: Store) -> tuple[Artifact, Path | None]:
    """The artifact behind a variant's folder or file, and the published file, if there is one.

    Raises:
        InputError: the path is of no build, of several variants, or of another store.
        IntegrityError: the published files are not those that were built.
    """
    folder = path.parent if path.is_file() else path
    manifest = read_manifest(folder)
    file = None
    if isinstance(manifest, TargetManifest):
        names = ", ".join(sorted(manifest.artifacts))
        raise InputError(f"{path} holds several variants", hint=f"name one of its folders: {names}")
    if manifest is not None:
        _verify(folder, manifest)
        file = folder / manifest.file
        if path.is_file() and path.name != manifest.file:
            raise InputError(f"{path} is not the model: that is {file}")
        digest = manifest.lineage[-1].digest
    else:
        digest = _last_measured(folder, path)
    found = store.get(digest)
    if found is None:
        raise InputError(
            f"{path} was not built with the store {store.root}", hint=with_store(folder, store)
        )
    return found, file


def of_a_build(file: Path) -> bool:
    """Whether a file lies in, or is named as if in, a folder that a build made.

    Raises:
        InputError: what lies beside it is damaged.
    """
    folder = file.parent
    return read_manifest(folder) is not None or read_report(folder.parent) is not None


def with_store(folder: Path, store: Store) -> str:
    """What to do where a store lacks what a variant's folder was built from."""
    report = read_report(folder.parent)
    names = (f"{report.recipe}.yaml", report.target) if report else ("RECIPE", "TARGET")
    recipe, target, root = map(shlex.quote, (*names, str(store.root)))
    return (
        "name the store that it was built with, --store FOLDER; or build it again, in the recipe's "
        f"folder: `edgekit build {recipe} --target {target} --store {root}`"
    )


def _last_measured(folder: Path, path: Path) -> str:
    """The digest of what a variant came to that broke a gate and so was not published."""
    report = read_report(folder.parent)
    rows = [row for row in report.rows if row.variant == folder.name] if report else []
    if not rows:
        raise InputError(
            f"{path} is neither a variant's folder of a build nor the model in one",
            hint="give build/<recipe>/<target>/<variant>, or name the float file with --float",
        )
    return rows[-1].artifact


def published(folder: Path) -> Manifest:
    """The manifest of a variant's folder, whose files are what it says.

    Raises:
        InputError: it is no manifest of a variant, or another version's.
        IntegrityError: a file is missing, or another than the build made.
    """
    manifest = read_manifest(folder)
    if not isinstance(manifest, Manifest):
        raise InputError(f"{folder} is no variant's folder of a build", hint=BUILD_AGAIN)
    _verify(folder, manifest)
    return manifest


def _verify(folder: Path, manifest: Manifest) -> None:
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise IntegrityError(f"{path} is missing", hint=BUILD_AGAIN)
        if (found := sha256_of(path)) != entry.sha256:
            raise IntegrityError(
                f"{path} is not the file that was built and judged: its sha256 is {found[:16]}, "
                f"the manifest says {entry.sha256[:16]}",
                hint=f"{BUILD_AGAIN}; or take a file that you changed out of the build's folder",
            )


def read_manifest(folder: Path) -> Manifest | TargetManifest | None:
    """The manifest of a variant's or of a target's folder; None where there is none.

    Raises:
        InputError: it is damaged, or another version of edgekit wrote it.
    """
    fields = _read_json(folder / MANIFEST)
    if fields is None:
        return None
    if "artifacts" in fields:
        return _parsed(folder / MANIFEST, fields, TargetManifest, "manifest of a target")
    return _parsed(folder / MANIFEST, fields, Manifest, "manifest of a variant")


def read_report(folder: Path) -> Report | None:
    """The report in a target's folder; None where there is none.

    Raises:
        InputError: it is damaged, or another version of edgekit wrote it.
    """
    fields = _read_json(folder / REPORT)
    return None if fields is None else _parsed(folder / REPORT, fields, Report, "report of a build")


def read_plan(folder: Path) -> dict[str, Any]:
    """What each step of the last build was to do, by its id; empty where no plan can be read."""
    with suppress(InputError):
        return _read_json(folder / PLAN) or {}
    return {}


def build_around(path: Path) -> Path | None:
    """The target's folder of a build that a path lies in, or is; None where there is none."""
    whole = path.absolute()
    for folder in (whole, *whole.parents, *whole.resolve().parents):
        for name, keys in ((MANIFEST, TARGET_KEYS), (REPORT, REPORT_KEYS)):
            # Files of these names that are none of edgekit's lie in many a project's folder.
            with suppress(InputError, OSError):
                if keys <= (_read_json(folder / name) or {}).keys():
                    return folder
    return None


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        fields = parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint=BUILD_AGAIN) from error
    except BadRecord as error:
        raise InputError(f"{path} cannot be read: {error}", hint=BUILD_AGAIN) from error
    if not isinstance(fields, dict):
        raise InputError(f"{path} cannot be read: a mapping expected", hint=BUILD_AGAIN)
    return fields


def _parsed(path: Path, fields: dict[str, Any], model: type[Record], what: str) -> Record:
    # The version first: of another version's file, the field that happens to differ says nothing.
    current = model.model_fields["schema_version"].default
    version = fields.get("schema_version", current)
    if version != current:
        raise InputError(
            f"{path} was written by another version of edgekit (schema {shown(version)}; this one "
            f"reads {current})",
            hint=BUILD_AGAIN,
        )
    try:
        return parse_record(model, fields)
    except BadRecord as error:
        raise InputError(f"{path} is no {what}: {error}", hint=BUILD_AGAIN) from error
