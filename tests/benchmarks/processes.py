"""What one process tells of a latency ratio, and what several do.

    python tests/benchmarks/processes.py [--processes 10] > table.md     # on a quiet machine

Takes the demo's float and int8 files (recipes/mobilenet_int8.yaml, for rpi) and times each int8
file against its float file in many processes: with all rounds in each, as edgekit once did, and
with a share of them, as it does. Prints how far the processes differ beside the interval of one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from edgekit import stats
from edgekit.evaluation import measure as room
from edgekit.evaluation.latency_ratio import median_ratio, ratio_over_processes
from edgekit.evaluation.measure import measure, undisturbed
from edgekit.evaluation.timing import Candidate, Timing
from edgekit.pipeline.run import Build
from tests.benchmarks.pruned import DENSE, build, candidate

HEAD = """\
| file | rounds a process | ratio, all processes | spread, % | interval of one process, +- % | \
one holds the ratio of all | five hold it |
|---|--:|--:|--:|--:|--:|--:|"""


def pairs(built: Build) -> dict[str, tuple[Candidate, Candidate]]:
    """By `<runtime> <stage>`: the float file and the int8 file."""
    rows = built.targets[0].rows
    floats = {row.row.runtime: row for row in rows if row.row.stage == "source"}
    return {
        f"{row.row.runtime} {row.row.stage}": (
            candidate("float", row.row.runtime, floats[row.row.runtime].artifact),
            candidate("int8", row.row.runtime, row.artifact),
        )
        for row in rows
        if row.row.stage != "source"
    }


def line(name: str, candidates: tuple[Candidate, Candidate], images: Path, count: int) -> str:
    outcome = undisturbed(lambda: measure([*candidates], images, lambda *_: None, processes=count))
    own, other = outcome.timings["int8"], outcome.timings["float"]
    alone = [median_ratio(a, b) for a, b in zip(own.processes, other.processes, strict=True)]
    ratio, _ = ratio_over_processes(own.processes, other.processes)
    spread = np.std(np.log([value for value, _ in alone]), ddof=1)
    width = np.mean([(ends.high - ends.low) / 2 / value for value, ends in alone])
    held = np.mean([ends.low <= ratio <= ends.high for _, ends in alone])
    groups = [range(i, i + room.PROCESSES) for i in range(0, count - 4, room.PROCESSES)]
    fives = [_part(own, other, group) for group in groups]
    held_by_five = np.mean([ends.low <= ratio <= ends.high for ends in fives])
    rounds = len(own.rounds) // count
    mark = " (disturbed)" if outcome.disturbed else ""
    return (
        f"| {name}{mark} | {rounds} | {ratio:.3f} | {100 * spread:.1f} | {100 * width:.1f} | "
        f"{100 * held:.0f} % of {count} | {100 * held_by_five:.0f} % of {len(fives)} |"
    )


def _part(own: Timing, other: Timing, group: range) -> stats.Interval:
    chosen = [[timing.processes[i] for i in group] for timing in (own, other)]
    return ratio_over_processes(*chosen)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=10)
    count = parser.parse_args().processes
    built = build(DENSE)
    images = next(a for s, a in built.artifacts.items() if str(s) == "images/validation")
    whole = {name: room.PROTOCOL[name] * count for name in ("seconds", "rounds")}
    share = {name: value / room.PROCESSES for name, value in whole.items()}
    print(HEAD)
    for name, candidates in pairs(built).items():
        for protocol in (whole, share):
            room.PROTOCOL.update(protocol)
            print(line(name, candidates, images.file("images.npy"), count), flush=True)


if __name__ == "__main__":
    main()
