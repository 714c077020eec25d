"""The matrix, measured. The store keeps what is finished, so one that was stopped goes on where it
was. Nothing here decides; every cell says what was measured, or why it could not be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.data.splits import SplitsMetadata
from edgekit.engine.action import library_versions
from edgekit.engine.artifact import digest_of
from edgekit.engine.atomic import write_atomically
from edgekit.engine.crew import Crew, in_order
from edgekit.engine.observer import Observer
from edgekit.engine.records import read_record
from edgekit.engine.store import Store
from edgekit.errors import storage_errors
from edgekit.model_search.built import attempt
from edgekit.model_search.matrix import Matrix, MatrixEntry, load_targets
from edgekit.model_search.points import PointRecord
from edgekit.models.float_metadata import FloatMetadata
from edgekit.pipeline.draft import SOURCE, SPLITS
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import Build, RowResult, TargetResult, execute
from edgekit.report.matrix import Cell, MatrixReport, MatrixRow
from edgekit.report.render import render_matrix
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.spec.recipe import Recipe
from edgekit.spec.target import Target


def run_matrix(
    matrix: Matrix,
    store: Store,
    observer: Observer,
    known: MatrixReport | None,
    publish: Callable[[MatrixReport], None],
    crew: Crew | None = None,
) -> MatrixReport:
    """Measure every architecture, publishing the report after each one.

    Args:
        known: the last report; its lines are kept where their keys are unchanged.
    """
    targets = load_targets(matrix)
    report = _begun(matrix, targets, known)
    before = {line.arch: line for line in known.lines} if known else {}
    # A run that is stopped leaves the lines that it has not come to as they were.
    lines = {entry.arch: before.get(entry.arch) for entry in matrix.architectures}

    def measured(entry: MatrixEntry) -> MatrixRow:
        recipe, last = matrix.recipe(entry), before.get(entry.arch)
        return _line(recipe, entry, targets, store, observer, last, report, crew)

    for line in in_order(crew, measured, matrix.architectures):
        lines[line.arch] = line
        report.lines = [line for line in lines.values() if line]
        report.open = [name for name, line in lines.items() if not line]
        report.created = datetime.now(UTC).isoformat(timespec="seconds")
        publish(report)
    return report


def _begun(matrix: Matrix, targets: list[Target], known: MatrixReport | None) -> MatrixReport:
    """A report without lines; of the images and the machine it says what the last one said."""
    report = MatrixReport(
        edgekit=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        name=matrix.name,
        source=str(matrix.data.model_dump()["source"]),
        images={},
        environment={},
        libraries=_libraries(targets),
        columns=[(target.name, v.name) for target in targets for v in target.variants],
        lines=[],
        open=[entry.arch for entry in matrix.architectures],
    )
    if known:
        report.images, report.majority = known.images, known.majority
        report.environment, report.problems = known.environment, known.problems
    return report


def _line(
    recipe: Recipe,
    entry: MatrixEntry,
    targets: list[Target],
    store: Store,
    observer: Observer,
    known: MatrixRow | None,
    report: MatrixReport,
    crew: Crew | None,
) -> MatrixRow:
    """Build one architecture; the line that is known where nothing of it changed."""
    line = MatrixRow(
        arch=entry.arch,
        family=entry.family,
        note=entry.note,
        key="",
        image_size=recipe.data.image_size,
        epochs=next((getattr(s, "epochs", None) for s in recipe.stages if s.trains), None),
    )
    point = PointRecord(name=entry.arch, settings={"model.arch": entry.arch})
    plan = attempt(point, lambda: make_plan(recipe, targets, store))
    if plan:
        line.key = digest_of(plan.record())
        report.problems, report.weights = list(plan.review.problems), plan.weights
        if known and known.key == line.key and _is_settled(known):
            return known.model_copy(update={"family": entry.family, "note": entry.note})
        start = time.perf_counter()
        if build := attempt(point, lambda: execute(plan, store, observer, crew)):
            line.seconds = round(time.perf_counter() - start, 1)
            _record_build(build, line, report)
    line.reason = point.reason
    return line


def _record_build(build: Build, line: MatrixRow, report: MatrixReport) -> None:
    """Write down what was measured, and of which images on which machine."""
    line.cells = [cell for target in build.targets for cell in _cells(target)]
    card = build.artifacts[SOURCE].described_by(FloatMetadata).card
    line.parameters, line.macs = card.parameters, card.macs
    counts = build.artifacts[SPLITS].described_by(SplitsMetadata).counts
    report.images = {split: sum(classes.values()) for split, classes in counts.items()}
    judged = counts[build.plan.recipe.data.evaluate_on].values()
    report.majority = 100 * max(judged) / sum(judged)
    report.environment = _environment(build) or report.environment


def _is_settled(line: MatrixRow) -> bool:
    """Nothing of it failed: a failure is tried again, it may have been the machine's."""
    return not line.reason and not any(cell.reason for cell in line.cells)


def _cells(target: TargetResult) -> Iterator[Cell]:
    """Float and last row of each variant; a variant that failed is one cell with the reason."""
    name = target.plan.target.name
    floats = {r.row.runtime: r for r in target.rows if r.row.baseline}
    last = {r.row.variant: r for r in target.rows if r.row.last}
    for variant in target.plan.target.variants:
        result = floats.get(variant.runtime)
        reason = target.left_out.get(variant.name, "")
        if result and variant.name == variant.runtime:
            yield _measured(name, variant.name, result)
        if variant.name in last and not reason:
            yield _measured(name, variant.name, last[variant.name])
        else:
            requested = variant.precision or "int8"
            yield Cell(target=name, variant=variant.name, precision=requested, reason=reason)


def _measured(target: str, variant: str, result: RowResult) -> Cell:
    validation = result.validation
    metadata = result.artifact.described_by(CompiledMetadata)
    return Cell(
        target=target,
        variant=variant,
        precision=metadata.precision,
        top1=validation.top1,
        agreement=validation.agreement,
        sqnr_db=validation.sqnr_db,
        size=validation.size,
        size_ratio=validation.size_ratio.value if validation.size_ratio else None,
        latency=validation.latency.ratio,
        verdict=validation.latency.verdict,
        audit=metadata.audit,
        float_ops=metadata.float_ops,
    )


def _environment(build: Build) -> dict[str, Any]:
    rows = [row for target in build.targets for row in target.rows]
    return rows[-1].validation.environment if rows else {}


def _libraries(targets: list[Target]) -> dict[str, str]:
    names = {"torch", "timm", "numpy", "scipy"}
    for variant in (v for target in targets for v in target.variants):
        runtime = find_runtimes()[variant.runtime]
        names |= {*runtime.libraries, runtime.engine}
    return library_versions(tuple(sorted(names)))


def read_matrix_report(path: Path) -> MatrixReport | None:
    """The report of an earlier run; None where there is none.

    Raises:
        InputError: the file is no matrix report.
    """
    if not path.exists():
        return None
    return read_record(
        MatrixReport,
        path,
        "matrix report of this version of edgekit",
        "move it away; finished steps are kept in the store all the same",
    )


def publish_matrix(report: MatrixReport, folder: Path) -> None:
    """Write matrix.json, matrix.md and matrix.html, each whole or not at all."""
    with storage_errors(folder, "--out"):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "matrix.json", report.model_dump_json(indent=1))
        write_atomically(folder / "matrix.md", render_matrix(report, html=False))
        write_atomically(folder / "matrix.html", render_matrix(report, html=True))
