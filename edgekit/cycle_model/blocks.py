"""What the plugin counted: blocks of instructions, how often each ran, and missed cache lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

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


def parse_counts(text: str) -> Counts:
    """What `counter.c` writes.

    Raises:
        DeviceError: it is not whole, or not of that form.
    """
    accesses, misses, placed, ended = 0, [], [], False
    try:
        for line in text.splitlines():
            what, *fields = line.split(" ")
            if what == "accesses":
                accesses = int(fields[0])
            elif what == "cache":
                misses.append(int(fields[1]))
            elif what == "block":
                placed.append((int(fields[0], 16), int(fields[1]), _words(fields[2])))
            elif what == "end":
                ended = True
            else:
                raise ValueError(line)
    except (ValueError, IndexError) as error:
        raise DeviceError(f"what the counting plugin wrote cannot be read: {error}") from error
    if not ended or not placed:
        raise DeviceError("the counting plugin wrote nothing, or was cut short")
    blocks: Counter[Block] = Counter()
    for block, count in _joined(placed):
        blocks[block] += count
    return Counts(blocks, accesses, tuple(misses))


def _words(digits: str) -> Block:
    if not digits or len(digits) % 8:
        raise ValueError(f"{len(digits)} digits are no whole instructions")
    return tuple(int(digits[i : i + 8], 16) for i in range(0, len(digits), 8))


def _joined(placed: list[tuple[int, int, Block]]) -> Iterator[tuple[Block, int]]:
    """QEMU cuts a block at the end of a page: parts that follow each other and ran equally often
    are one block again, so that a loop is scheduled whole."""
    held: Block = ()
    times = end = 0
    for address, count, block in sorted(placed):
        if held and count == times and address == end and decode(held[-1]).kind != "branch":
            held += block
        else:
            if held:
                yield held, times
            held, times = block, count
        end = address + 4 * len(block)
    yield held, times
