"""From the paths that a person names to the sides of a comparison, and which pairs they make."""

from __future__ import annotations

import shlex
import string
from collections.abc import Iterable, Iterator
from pathlib import Path

from edgekit.build_folder.manifest import Manifest, TargetManifest
from edgekit.build_folder.reading import (
    BUILD_AGAIN,
    LAST_PASSED,
    ON_DEVICE,
    REPORT,
    published,
    read_manifest,
    read_plan,
    read_report,
)
from edgekit.build_folder.report import Report, RowRecord
from edgekit.comparison.side import Side, of_device_report, of_variant
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bench.validate_on_device import DEVICE_REPORT
from edgekit.engine.records import read_record
from edgekit.errors import InputError

NAME_ONE = (
    "name build/<recipe>/<target>, one of its variants' folders, the model in one, or a "
    "device-report.json"
)


def locate(paths: Iterable[Path], every_variant: bool) -> list[list[Side]]:
    """The sides that each path stands for: one, or with `every_variant` all of a build.

    Raises:
        InputError: a path is none of a build or a device report, or stands for what another does.
        IntegrityError: a published file is not the one that was built.
    """
    letters = (a + b for a in ("", *string.ascii_uppercase) for b in string.ascii_uppercase)
    groups = [list(_sides(path, every_variant, letters)) for path in paths]
    seen: dict[Path, Side] = {}
    for side in (side for group in groups for side in group):
        if seen.setdefault(side.path.resolve(), side) is not side:
            raise InputError(
                f"{side.name} is named twice: there is nothing to compare it with",
                hint="name two things; without --all a build's folder stands for its choice",
            )
    return groups


def pairs_of(groups: list[list[Side]]) -> tuple[list[tuple[Side, Side]], list[Side]]:
    """The first against each of the others; variants of several builds by their names.

    Returns:
        the pairs, and the sides that have no partner.
    """
    first, *others = groups
    if not others:
        return [(first[0], side) for side in first[1:]], []
    second = [side for group in others for side in group]
    partners = _partners(first, second)
    pairs = [(a, b) for a, b in zip(partners, second, strict=True) if a]
    found = {id(side) for pair in pairs for side in pair}
    return pairs, [side for side in (*first, *second) if id(side) not in found]


def _partners(first: list[Side], second: list[Side]) -> list[Side | None]:
    """For each of the second sides what it is held against: of several variants its namesake."""
    if len(first) == 1:
        return [first[0]] * len(second)
    by_name = {side.variant: side for side in first}
    return [by_name.get(side.variant) for side in second]


def _sides(path: Path, every_variant: bool, letters: Iterator[str]) -> Iterator[Side]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", hint=NAME_ONE)
    report = path / DEVICE_REPORT if path.is_dir() else path
    if report.name == DEVICE_REPORT and report.is_file():
        yield of_device_report(next(letters), report, read_device_report(report))
        return
    for folder in _variants(path, every_variant):
        yield _variant(next(letters), folder)


def _variants(path: Path, every_variant: bool) -> list[Path]:
    """The folders of the variants that a path in a build stands for."""
    folder = path.parent if path.is_file() else path
    manifest = read_manifest(folder)
    if path.is_file() and (not isinstance(manifest, Manifest) or path.name != manifest.file):
        raise InputError(f"{path} is no model of a build, and no device report", hint=NAME_ONE)
    if manifest is None:
        raise _no_build(path)
    if isinstance(manifest, Manifest):
        return [folder]
    return [folder / name for name in _chosen(folder, manifest, every_variant)]


def read_device_report(path: Path) -> DeviceReport:
    return read_record(
        DeviceReport, path, "device report", "measure again: edgekit bench, or edgekit import"
    )


def _chosen(folder: Path, manifest: TargetManifest, every_variant: bool) -> list[str]:
    """The choice of a build, or all of its variants with the choice first."""
    choice = [manifest.choice] if manifest.choice else []
    if every_variant:
        return [*choice, *sorted(manifest.artifacts.keys() - {*choice})]
    if not choice:
        raise InputError(
            f"{folder}: none of its variants is the choice",
            hint=_name_one_of(folder / name for name in sorted(manifest.artifacts)),
        )
    return choice


def _no_build(folder: Path) -> InputError:
    report = read_report(folder)
    if report:
        passed = sorted(p.parent for p in (folder / LAST_PASSED).glob("*/manifest.json"))
        why = "; ".join(report.broken) or report.status
        return InputError(
            f"{folder} shipped nothing: {why}",
            hint=_name_one_of(passed) if passed else "a build that broke off has no file",
        )
    builds = sorted(p.parent for p in folder.glob(f"*/{REPORT}"))
    return InputError(
        f"{folder} is no build, and no variant of one",
        hint=_name_one_of(builds) if builds else NAME_ONE,
    )


def _name_one_of(folders: Iterable[Path]) -> str:
    return f"name one of its folders: {', '.join(shlex.quote(str(f)) for f in folders)}"


def _variant(letter: str, folder: Path) -> Side:
    manifest = published(folder)
    place = folder.absolute().parent
    root = place.parent if place.name == LAST_PASSED else place
    report = read_report(root)
    if report is None:
        raise InputError(
            f"{root / REPORT} is not there: it has the figures of {folder}",
            hint=f"copy it too, with the variant's folder beside it; or {BUILD_AGAIN}",
        )
    row = _row(report, manifest)
    if row is None:
        raise InputError(
            f"{root / REPORT} is of another build than {folder}: of {report.created}, "
            f"{report.status}",
            hint=BUILD_AGAIN,
        )
    device = root / ON_DEVICE / f"{row.variant}-{row.stage}" / DEVICE_REPORT
    run = read_device_report(device) if row.on_device and device.is_file() else None
    is_its = run is not None and run.artifact.sha256 == manifest.files[manifest.file].sha256
    plan = read_plan(root)
    return of_variant(letter, folder, manifest, report, row, plan, run if is_its else None)


def _row(report: Report, manifest: Manifest) -> RowRecord | None:
    """The last one of this very artifact."""
    digest = manifest.lineage[-1].digest
    rows = [row for row in report.rows if row.artifact == digest]
    own = [row for row in rows if row.variant == manifest.variant]
    return next(reversed(own or rows), None)
