"""Lay a build out for a person: reports, and for each variant a folder that is ready to copy.

A folder is made beside its destination and swapped in whole, under a lock; a swap that was killed
half way is taken back by the next build. When a gate is broken, what an earlier build shipped stays
where it is, and the last stage that passed goes to `last-passed/`; it stays as well where the float
model is no better than guessing, of which nothing has passed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from filelock import FileLock

from edgekit.build_folder.manifest import TargetManifest
from edgekit.build_folder.reading import LAST_PASSED, MANIFEST, ON_DEVICE, PLAN, REPORT
from edgekit.build_folder.report import Report
from edgekit.build_folder.target_estimates import TargetEstimates
from edgekit.engine.atomic import write_atomically
from edgekit.errors import storage_errors
from edgekit.evaluation.device_spread import DeviceSpread
from edgekit.evaluation.operator_table import ShippedOperators
from edgekit.models.card import WEIGHTS_FILE
from edgekit.models.checkpoint import write_checkpoint
from edgekit.pipeline.draft import SPLITS
from edgekit.pipeline.plan import Plan
from edgekit.pipeline.run import Build, TargetResult
from edgekit.report.comparison import Comparison, compare
from edgekit.report.device import DEVICE_PAGES, write_device_report
from edgekit.report.pages import read_beside
from edgekit.report.published_files import (
    published_variants,
    remove_files,
    remove_last_passed,
    remove_variants,
)
from edgekit.report.render import render_comparison, render_html, render_markdown
from edgekit.report.report import make_report
from edgekit.report.thumbnails import THUMBNAILS, entry_of, make_thumbnails
from edgekit.report.variant_folder import publish_variant

BUILD_DIR = "--build-dir"
FLOAT_FILE, SPLITS_FILE = "float.safetensors", "splits.json"
TRUNK_FILES = (FLOAT_FILE, SPLITS_FILE)
COMPARISON = ("comparison.md", "comparison.html")
REPORT_PAGES = (REPORT, "report.md", "report.html", THUMBNAILS)


def publish(build: Build, build_dir: Path) -> list[tuple[Report, Path]]:
    """Write `<build_dir>/<recipe>/<target>/` for every target that was reached."""
    published = []
    root = build_dir / build.plan.recipe.name
    with storage_errors(root, BUILD_DIR):
        _forget(root, COMPARISON)
    for target in build.targets:
        folder = root / target.plan.target.name
        if not target.rows:
            with storage_errors(folder, BUILD_DIR):
                _forget(folder, REPORT_PAGES)
            continue
        with storage_errors(folder, BUILD_DIR):
            folder.mkdir(parents=True, exist_ok=True)
            report = make_report(build, target)
            with FileLock(folder / ".lock"):
                for place in (folder, folder / LAST_PASSED):
                    _recover(place)
                if target.is_refused:
                    remove_last_passed(folder / LAST_PASSED, TRUNK_FILES)
                elif target.faults:
                    _publish_broken(build, target, report, folder / LAST_PASSED)
                else:
                    _publish_models(build, target, report, folder)
                _publish_device_reports(target, folder / ON_DEVICE)
                report = _write_report(build, report, folder)
                write_atomically(folder / PLAN, json.dumps(build.plan.record(), indent=1))
        published.append((report, folder))
    with storage_errors(root, BUILD_DIR):
        _publish_comparison(build.plan, compare(root, [report for report, _ in published]), root)
    return published


def add_to_report(
    report: Report,
    folder: Path,
    found: TargetEstimates | ShippedOperators | DeviceSpread,
) -> Report:
    """Write the pages of a published report anew, with what was found since.

    Another build of the target may have been published meanwhile: its pages stay.
    """
    names = {TargetEstimates: "estimates", ShippedOperators: "operators", DeviceSpread: "spread"}
    richer = report.model_copy(update={names[type(found)]: found})
    with storage_errors(folder, BUILD_DIR), FileLock(folder / ".lock"):
        if (folder / REPORT).read_text(encoding="utf-8") == _json(report):
            _write_pages(richer, folder)
    return richer


def _write_report(build: Build, report: Report, folder: Path) -> Report:
    """The report, its thumbnails and its pages."""
    thumbnails = make_thumbnails(build, report)
    if thumbnails is None:
        _forget(folder, (THUMBNAILS,))  # of an earlier build that was allowed to show them
    else:
        write_atomically(folder / THUMBNAILS, thumbnails)
        report = report.model_copy(update={"thumbnails": entry_of(thumbnails)})
    _write_pages(report, folder)
    return report


def _write_pages(report: Report, folder: Path) -> None:
    write_atomically(folder / REPORT, _json(report))
    write_atomically(folder / "report.md", render_markdown(report))
    page = render_html(report, read_beside(folder, report))
    write_atomically(folder / "report.html", page)


def _json(report: Report) -> str:
    return report.model_dump_json(indent=1)


def _forget(folder: Path, names: tuple[str, ...]) -> None:
    """Pages of an earlier build must not be taken for this one's."""
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _publish_comparison(plan: Plan, comparison: Comparison, folder: Path) -> None:
    """The recipe's targets beside each other, above their folders."""
    if not comparison.reports or not comparison.is_one:
        return
    for name, html in zip(COMPARISON, (False, True), strict=True):
        page = render_comparison(plan.recipe.name, comparison, plan.left_out, html)
        write_atomically(folder / name, page)


def _recover(folder: Path) -> None:
    """Undo what a killed build left: a folder between its two renames, and half-made ones."""
    for old in folder.glob(".*.old"):
        destination = folder / old.name.removeprefix(".").removesuffix(".old")
        if not destination.exists():
            old.rename(destination)
    for rest in folder.glob(".*.part*"):
        shutil.rmtree(rest) if rest.is_dir() else rest.unlink()


def _publish_broken(build: Build, target: TargetResult, report: Report, folder: Path) -> None:
    remove_last_passed(folder, TRUNK_FILES)
    passed = {row.row.variant: row for row in target.rows if not row.broken}
    for name, row in passed.items():
        publish_variant(build, row, report, folder / name)
    _publish_trunk(build, folder)


def _publish_models(build: Build, target: TargetResult, report: Report, folder: Path) -> None:
    remove_last_passed(folder / LAST_PASSED, TRUNK_FILES)
    rows = target.shipped
    before = published_variants(folder)
    manifests = {
        name: publish_variant(build, row, report, folder / name) for name, row in rows.items()
    }
    _publish_trunk(build, folder)
    remove_variants(folder, {n: found for n, found in before.items() if n not in rows})
    whole = TargetManifest(
        recipe=report.recipe,
        target=report.target,
        choice=report.chosen,
        left_out=target.left_out,
        artifacts=manifests,
    )
    write_atomically(folder / MANIFEST, whole.model_dump_json(indent=1))


def _publish_device_reports(target: TargetResult, folder: Path) -> None:
    """The whole report of each row on the device, in a folder of its own."""
    for page in list(folder.glob(f"*/{DEVICE_PAGES[0]}")):
        remove_files(page.parent, DEVICE_PAGES)
    remove_files(folder, ())
    for result in target.rows:
        if result.on_device:
            name = f"{result.row.variant}-{result.row.stage}"
            write_device_report(result.on_device, folder / name)


def _publish_trunk(build: Build, folder: Path) -> None:
    """The splits, and the torch model at the end of the trunk, if there is one: what a later recipe
    starts from.

    The file says which images its weights have seen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    splits = build.artifacts[SPLITS].verified(SPLITS_FILE)
    write_atomically(folder / SPLITS_FILE, splits.read_text(encoding="utf-8"))
    trunk = [a for a in build.artifacts.values() if WEIGHTS_FILE in a.files]
    if not trunk:  # the recipe's model is a file from elsewhere
        return
    write_checkpoint(trunk[-1].verified(WEIGHTS_FILE), build.plan.seen, folder / FLOAT_FILE)
