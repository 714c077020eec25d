"""Hold the sides of a comparison against each other."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

from edgekit import __version__
from edgekit.build_folder.reading import BUILD_AGAIN
from edgekit.comparison.accuracy import compare_accuracy
from edgekit.comparison.differences import compare_operators, compare_settings
from edgekit.comparison.latency import TimedHere, compare_latency, time_here
from edgekit.comparison.locate import pairs_of
from edgekit.comparison.record import CompareReport, PairRecord
from edgekit.comparison.side import Side
from edgekit.engine.action import Progress
from edgekit.errors import InputError
from edgekit.evaluation.metrics import measurement
from edgekit.evidence import Evidence

MAX_NAMED = 5
"""Classes in a message."""


def compare(groups: list[list[Side]], timing: bool, progress: Progress) -> CompareReport:
    """
    Args:
        groups: the sides that each named path stands for.
        timing: time anew, interleaved, what lies here.

    Raises:
        InputError: there are no two to compare, or their classes are not the same.
    """
    pairs, alone = pairs_of(groups)
    if not pairs:
        raise _nothing_to_compare(groups)
    for pair in pairs:
        _refuse_other_classes(*pair)
    sides = [side for group in groups for side in group]
    timed = time_here(sides, progress) if timing else None
    return CompareReport(
        edgekit=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sides=tuple(side.record for side in sides),
        pairs=tuple(compare_pair(*pair, timed) for pair in pairs),
        unpaired=tuple(side.name for side in alone),
    )


def _nothing_to_compare(groups: list[list[Side]]) -> InputError:
    if len(groups) == 1:
        return InputError(
            "nothing to compare: two things expected, e.g. two builds, or one with several "
            "variants and --all",
        )
    told = "; ".join(", ".join(side.name for side in group) for group in groups)
    return InputError(
        f"nothing to compare: --all pairs variants by name, and no name is on both sides: {told}",
        hint="leave out --all: a build's folder then stands for its choice",
    )


def compare_pair(first: Side, second: Side, timed: TimedHere | None) -> PairRecord:
    operators, untold = compare_operators(first, second)
    sizes = [side.record.size.value for side in (first, second)]
    if min(sizes) <= 0:
        raise InputError(
            f"{' or '.join(side.name for side in (first, second))}: a report says that the file is "
            "empty",
            hint=BUILD_AGAIN,
        )
    return PairRecord(
        first=first.record,
        second=second.record,
        same_file=first.record.sha256 == second.record.sha256,
        accuracy=compare_accuracy(first, second),
        latency=compare_latency(first, second, timed),
        size_ratio=measurement(
            sizes[1] / sizes[0], "ratio", Evidence.MEASURED, "bytes of the files"
        ),
        operators=operators,
        operators_untold=untold,
        settings=compare_settings(first, second),
    )


def _refuse_other_classes(first: Side, second: Side) -> None:
    """
    Raises:
        InputError: the two do not tell the same classes apart, in whatever order.
    """
    if first.classes is None or second.classes is None:
        return
    before, after = set(first.classes), set(second.classes)
    if before == after:
        return
    own = [sorted(before - after), sorted(after - before)]
    told = [
        f"{side.record.letter} alone has {_few(names)}"
        for side, names in zip((first, second), own, strict=True)
        if names
    ]
    names = [f"{side.record.letter} ({side.name})" for side in (first, second)]
    labels = [side.path / "labels.txt" for side in (first, second)]
    words = " ".join(shlex.quote(str(path)) for path in labels)
    command = f"; all of both: diff {words}" if all(p.is_file() for p in labels) else ""
    raise InputError(
        f"{' and '.join(names)} tell different classes apart: {'; '.join(told)}",
        hint=f"compare models of the same classes{command}",
    )


def _few(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(map(repr, names[:MAX_NAMED])) + more
