"""edgekit's compression against what people would use instead: one model, one machine, one table.

    python tests/benchmarks/compression.py             # make, measure and table
    python tests/benchmarks/compression.py make        # the files; those that are there are kept
    python tests/benchmarks/compression.py measure     # scores and latencies, to results.json
    python tests/benchmarks/compression.py table       # results.json as Markdown

Each file is made in a process of its own; what cannot be made keeps its row, with the reason, and
is tried again next time. A file is made anew when the code that makes it, a library, the model or
the images have changed. The ImageNet rows need a folder with calib/<synset>/*.jpg,
val/<synset>/*.jpg and synsets.json (--imagenet, or EDGEKIT_IMAGENET).
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # a script sees its own folder alone

from edgekit.agent import agent
from edgekit.engine.action import library_versions
from edgekit.engine.atomic import write_atomically
from edgekit.engine.store import Store, default_store
from edgekit.evaluation.measure import HOST_THREADS, PROTOCOL
from tests.benchmarks.comparison import making, table
from tests.benchmarks.comparison.measuring import measure_subject
from tests.benchmarks.comparison.results import Results, SubjectResult
from tests.benchmarks.comparison.subjects import Subject, from_file, prepare, shipped

RESULTS = "results.json"
QUICK = "quick"


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "phase", nargs="?", choices=("make", "measure", "table", "one"), help=argparse.SUPPRESS
    )
    parser.add_argument("one", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, default=Path("build/compression"))
    parser.add_argument("--store", type=Path, default=default_store())
    parser.add_argument("--imagenet", type=Path, default=os.environ.get("EDGEKIT_IMAGENET"))
    parser.add_argument(
        "--recipe", type=Path, action="append", default=[], help="compare on this model instead"
    )
    parser.add_argument("--only", metavar="MODEL", action="append", help="these models alone")
    parser.add_argument("--rows", metavar="TEXT", action="append", help="rows whose id contains it")
    parser.add_argument("--quick", action="store_true", help="few images: does it work at all?")
    parser.add_argument("--fresh", action="store_true", help="make files again that are there")
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved runs a runtime")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    words = sys.argv[1:] if words is None else words
    chosen = parse(words)
    subjects, skipped = _subjects(chosen)
    work = chosen.work.resolve() / (QUICK if chosen.quick else "")
    store = Store(chosen.store)
    rows = {subject.name: _rows(subject, chosen.rows) for subject in subjects}
    if chosen.phase == "one":
        name, row = chosen.one
        known = {row.id: row for row in rows[name]}
        making.make_one(known[row], work, store, chosen.fresh)
        return
    if chosen.phase in (None, "make"):
        options = [word for word in words if word != chosen.phase]
        for subject in subjects:
            prepare(subject, store)  # train once, not in the first row's time
            making.make_all(rows[subject.name], work, [__file__, *options])
    if chosen.phase in (None, "measure"):
        repeats = 0 if chosen.no_latency else chosen.repeats
        measured = tuple(
            measure_subject(rows[s.name], prepare(s, store), work, repeats) for s in subjects
        )
        results = _results(words, measured, skipped, repeats, chosen.quick)
        write_atomically(work / RESULTS, results.model_dump_json(indent=1))
    if chosen.phase in (None, "table"):
        print(table.render(Results.model_validate_json((work / RESULTS).read_text())))


def _results(
    words: list[str],
    measured: tuple[SubjectResult, ...],
    skipped: dict[str, str],
    repeats: int,
    quick: bool,
) -> Results:
    """What was measured, and what it depends on: date, command, machine and versions."""
    cpu, int8 = agent.cpu_name(), ", ".join(agent.int8_instructions())
    return Results(
        date=datetime.now(UTC).date().isoformat(),
        command=shlex.join(["python", "tests/benchmarks/compression.py", *_shown(words)]),
        quick=quick,
        machine={"cpu": cpu, "cores": os.cpu_count(), "int8 instructions": int8 or "none"},
        versions=library_versions(making.LIBRARIES),
        protocol={**PROTOCOL, "repeats": repeats, "threads": HOST_THREADS},
        subjects=measured,
        skipped=skipped,
    )


def _subjects(chosen: argparse.Namespace) -> tuple[list[Subject], dict[str, str]]:
    skipped: dict[str, str] = {}
    if chosen.recipe:
        subjects = [from_file(path, chosen.quick) for path in chosen.recipe]
    else:
        subjects, skipped = shipped(chosen.imagenet and Path(chosen.imagenet), chosen.quick)
    if chosen.only:
        known = [*(s.name for s in subjects), *skipped]
        unknown = set(chosen.only) - set(known)
        if unknown:
            sys.exit(f"--only: no model {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        subjects = [s for s in subjects if s.name in chosen.only]
        skipped = {name: why for name, why in skipped.items() if name in chosen.only}
    return subjects, skipped


def _rows(subject: Subject, wanted: list[str] | None) -> list[making.Row]:
    rows = making.rows_of(subject)
    return [row for row in rows if not wanted or any(text in row.id for text in wanted)]


def _shown(words: list[str]) -> list[str]:
    """The command as the table shows it: without the folders of this machine."""
    return [word if not word.startswith("/") else Path(word).name for word in words]


if __name__ == "__main__":
    main()
