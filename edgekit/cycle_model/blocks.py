"""What the plugin counted: blocks of instructions, how often each ran, and missed cache lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from edgekit.cycle_model.instructions import decode
from edgekit.errors import DeviceError

Block = tuple[int, ...]
"""Instruction words."""


@dataclass(frozen=True)
class Counts:
    """Of one inference on one core."""

    blocks: Counter[Block]
    accesses: int
    """Loads and stores."""
    misses: tuple[int, ...]
    """Lines that each level of cache did not hold, from the first level on."""

    @property
    def instructions(self) -> int:
        return sum(count * len(block) for block, count in self.blocks.items())


@dataclass(frozen=True)
class Lap:
    """From one system call that a profiler makes to the next."""

    call: int
    """The number of the call at its end."""
    counts: Counts


@dataclass
class _Written:
    """The plugin's lines, as they are read."""

    memory: list[int] = field(default_factory=lambda: [0])
    """Accesses, and misses of each level."""
    placed: dict[int, _Placed] = field(default_factory=dict)
    """Blocks by number."""
    laps: list[tuple[int, list[int], dict[int, int]]] = field(default_factory=list)
    """The call, accesses and misses so far, and how often blocks ran."""
    ended: bool = False

    def take(self, what: str, fields: list[str]) -> None:
        if what == "accesses":
            self.memory[0] = int(fields[0])
        elif what == "cache":
            self.memory.append(int(fields[1]))
        elif what == "block":
            words = _words(fields[3])
            self.placed[int(fields[0])] = _Placed(int(fields[1], 16), int(fields[2]), words)
        elif what == "lap":
            self.laps.append((int(fields[0]), [int(text) for text in fields[1:]], {}))
        elif what == "ran":
            self.laps[-1][2][int(fields[0])] = int(fields[1])
        elif what == "end":
            self.ended = True
        else:
            raise ValueError(what)


class _Placed(NamedTuple):
    address: int
    times: int
    words: Block


def parse_counts(text: str) -> Counts:
    """What `counter.c` writes.

    Raises:
        DeviceError: it is not whole, or not of that form.
    """
    written = _read(text)
    blocks: Counter[Block] = Counter()
    for block, parts in _joined(written.placed):
        blocks[block] += written.placed[parts[0]].times
    return Counts(blocks, written.memory[0], tuple(written.memory[1:]))


def parse_laps(text: str) -> list[Lap]:
    """What `counter.c` writes where laps are taken, in their order.

    Raises:
        DeviceError: as `parse_counts`.
    """
    written, laps = _read(text), []
    whole = {
        number: (block, parts[0]) for block, parts in _joined(written.placed) for number in parts
    }
    before = [0] * len(written.memory)
    try:
        for call, memory, ran in written.laps:
            blocks: Counter[Block] = Counter()
            for number, times in ran.items():
                block, first = whole[number]
                blocks[block] += times * (number == first)
            accesses, *misses = (now - then for now, then in zip(memory, before, strict=True))
            laps.append(Lap(call, Counts(blocks, accesses, tuple(misses))))
            before = memory
    except (KeyError, ValueError) as error:
        raise _unreadable(error) from error
    return laps


def _read(text: str) -> _Written:
    written = _Written()
    try:
        for line in text.splitlines():
            what, *fields = line.split(" ")
            written.take(what, fields)
    except (ValueError, IndexError) as error:
        raise _unreadable(error) from error
    if not written.ended or not written.placed:
        raise DeviceError("the counting plugin wrote nothing, or was cut short")
    return written


def _unreadable(error: Exception) -> DeviceError:
    return DeviceError(f"what the counting plugin wrote cannot be read: {error}")


def _words(digits: str) -> Block:
    if not digits or len(digits) % 8:
        raise ValueError(f"{len(digits)} digits are no whole instructions")
    return tuple(int(digits[i : i + 8], 16) for i in range(0, len(digits), 8))


def _joined(placed: dict[int, _Placed]) -> Iterator[tuple[Block, list[int]]]:
    """Whole blocks and the numbers of their parts. QEMU cuts a block at the end of a page: parts
    that follow each other and ran equally often are one block again, and scheduled as one loop."""
    held: Block = ()
    parts: list[int] = []
    times = end = 0
    for number, part in sorted(placed.items(), key=lambda item: item[1]):
        follows = part.times == times and part.address == end
        if held and follows and decode(held[-1]).kind != "branch":
            held += part.words
            parts.append(number)
        else:
            if held:
                yield held, parts
            held, parts, times = part.words, [number], part.times
        end = part.address + 4 * len(part.words)
    yield held, parts
