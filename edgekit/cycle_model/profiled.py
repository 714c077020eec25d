"""Which of the laps that the plugin took are an operator's: `operators_in`.

A profiler asks for the time as an operator begins and as it ends. Which of its questions those are
follows from the events that it recorded, in their order. Where the two do not fit, nothing is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from edgekit.cycle_model.blocks import Block, Counts, Lap
from edgekit.errors import DeviceError

CLOCKS, GETPID, AT_STOP = (113, 169), 172, 125
"""Of laps: the questions for the time, the call that ONNX Runtime's profiler makes when it has
recorded an event, and the mark that ends a count."""
DEFAULT, OPERATOR, DELEGATED = 1, 2, 8
"""Types of LiteRT's events: one that holds others, an operator of its own, one of XNNPACK's."""
IN_BRACKETS = re.compile(r" \(.*?\)")
OnnxEvents = TypeAdapter(list[tuple[str, str, str]])
LiteRtEvents = TypeAdapter(list[tuple[str, int, int, int]])
Stamps = tuple[int, int]
"""The laps that end with an event's begin and with its end."""


@dataclass(frozen=True)
class Profiled:
    """An operator as its runtime calls it, and what ran in it."""

    name: str
    kind: str
    counts: Counts


def operators_in(runtime: str, events: bytes, laps: Sequence[Lap]) -> list[Profiled]:
    """In the order they run.

    Args:
        events: what profiled_guest.py wrote.

    Raises:
        DeviceError: the laps are not those of the events.
    """
    try:
        if runtime == "litert":
            named = _litert(LiteRtEvents.validate_json(events), laps)
        else:
            named = _onnx(OnnxEvents.validate_json(events), laps)
    except (ValidationError, ValueError, IndexError) as error:
        raise DeviceError(
            f"the operators of {runtime} cannot be told apart: its profiler works otherwise than "
            "that of the versions that are known"
        ) from error
    if not named:
        raise DeviceError(f"{runtime}'s profiler tells of no operator")
    free = set(range(len(laps)))
    found = []
    for name, kind, (begin, end) in named:
        own = free.intersection(range(begin + 1, end + 1))  # less those of operators inside it
        free -= own
        found.append(Profiled(name, kind, summed([laps[i].counts for i in sorted(own)])))
    return found


def summed(parts: Sequence[Counts]) -> Counts:
    """Of parts of one run; at least one."""
    blocks: Counter[Block] = Counter()
    for part in parts:
        blocks.update(part.blocks)
    misses = zip(*(part.misses for part in parts), strict=True)
    return Counts(blocks, sum(part.accesses for part in parts), tuple(map(sum, misses)))


def _onnx(events: list[tuple[str, str, str]], laps: Sequence[Lap]) -> list[tuple[str, str, Stamps]]:
    """An event is recorded as it ends, before the one that it lies in."""
    open_stamps: list[int] = []
    ended: list[Stamps] = []
    for place, lap in enumerate(laps):
        if lap.call in CLOCKS:
            open_stamps.append(place)
        elif lap.call == GETPID:
            end, begin = open_stamps.pop(), open_stamps.pop()
            ended.append((begin, end))
    return [
        (name.removesuffix("_kernel_time"), kind, stamps)
        for (name, category, kind), stamps in zip(events, ended, strict=True)
        if category == "Node"
    ]


def _litert(
    events: list[tuple[str, int, int, int]], laps: Sequence[Lap]
) -> list[tuple[str, str, Stamps]]:
    """Events are listed as they begin. XNNPACK asks once before its operators and once after each
    of them, and tells durations alone."""
    stamps = [place for place, lap in enumerate(laps) if lap.call in CLOCKS]
    found: list[tuple[str, str, Stamps]] = []
    asked, ends, in_delegate = 0, list[int](), False
    for tag, kind, begin, elapsed in events:
        if kind in (DEFAULT, OPERATOR):
            asked += 1 + _ended(ends, begin)
        elif kind == DELEGATED and not in_delegate:
            asked += 1
        if kind == DEFAULT:
            ends.append(begin + elapsed)
        elif kind in (OPERATOR, DELEGATED):
            stamp = stamps[asked - 1], stamps[asked]
            found.append((tag, IN_BRACKETS.sub("", tag), stamp))
            asked += 1
        in_delegate = kind == DELEGATED
    if asked + len(ends) != len(stamps):
        raise ValueError(f"{len(stamps)} questions, {asked + len(ends)} expected")
    return found


def _ended(ends: list[int], begin: int) -> int:
    """Take off the ends of events that were over by then.

    Returns:
        how many.
    """
    over = 0
    while ends and ends[-1] <= begin:
        ends.pop()
        over += 1
    return over
