"""The searches that the store keeps, by their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgekit.engine.atomic import write_atomically
from edgekit.engine.records import read_record
from edgekit.engine.store import Store
from edgekit.errors import InputError, storage_errors
from edgekit.model_search.report import CandidateRecord, SearchReport
from edgekit.spec.yamlfile import suggestion

FILE = "search.json"


def folder_of(store: Store, name: str) -> Path:
    return store.root / "search" / name


def names(store: Store) -> list[str]:
    return sorted(path.parent.name for path in (store.root / "search").glob(f"*/{FILE}"))


def read_search(store: Store, name: str) -> SearchReport:
    """
    Raises:
        InputError: there is none of that name, with the nearest, or it cannot be read.
    """
    if name not in (known := names(store)):
        raise InputError(
            f"no search {name!r} in {store.root}; {suggestion(name, known)}",
            hint="edgekit search RECIPE --target NAME makes one, called <recipe>-<target>",
        )
    return read_record(
        SearchReport,
        folder_of(store, name) / FILE,
        "search of this version of edgekit",
        "search again: what is finished is kept",
    )


def point_of(report: SearchReport, name: str) -> CandidateRecord:
    """A point of the front, whose recipe there is.

    Raises:
        InputError: there is none of that name, or it was not trained to its end.
    """
    known = {c.name: c for c in report.candidates}
    built = [c.name for c in report.candidates if c.recipe]
    if name not in known:
        others = built or [*known]
        raise InputError(f"no point {name!r} in {report.name}; {suggestion(name, others)}")
    if not known[name].recipe:
        why = known[name].dropped or "the search has not come to it"
        raise InputError(
            f"{name} has no weights to go on from: {why}",
            hint=f"points that have: {', '.join(built)}" if built else None,
        )
    return known[name]


def _has_ended(path: Path) -> bool:
    """Whether it is the report of a search that came to its end."""
    try:
        return SearchReport.model_validate_json(path.read_bytes()).state != "searching"
    except (OSError, ValueError):
        return False


def publish_search(
    report: SearchReport, kept: Path, folder: Path, page: Callable[[SearchReport], str]
) -> None:
    """Write search.json into the store, where it is found by its name, and with its page into a
    folder; each whole or not at all. What a search of that name has found stays until this one has
    ended."""
    if report.state == "searching" and _has_ended(kept / FILE):
        return
    text = report.model_dump_json(indent=1)
    with storage_errors(kept):
        write_atomically(kept / FILE, text)
    with storage_errors(folder, "--out"):
        write_atomically(folder / FILE, text)
        write_atomically(folder / "search.html", page(report))
