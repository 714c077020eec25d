"""What slowed a device down while it was watched, and whether anybody could have seen it (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import reduce
from itertools import groupby
from operator import or_

from edgekit.devices.agent_result import NOW_BITS, AgentResult, DeviceState, clock_of
from edgekit.evidence import InvalidityCause, Reason

STEADY_CLOCK = 0.95
"""Of the highest clock seen: governors step by more than this, and a steady clock stays above."""
TIMED_PHASES = ("timed", "latency")
"""How the phases end in which runs are timed."""
UNPAUSED = "without a pause"
"""The phase of the run that heats the board on purpose."""
ALL_BITS = 0xFFFFF
SINCE_START = 16
"""How far left of its `now` bit a Raspberry Pi keeps that it was ever set."""
PI = "Raspberry Pi"
"""How the boards begin that have these bits."""
THROTTLING_CELSIUS = 80.0
"""Where the firmware of a Raspberry Pi begins to lower the clock; documented by its maker."""
SOFT_LIMITS = {"Raspberry Pi 3 Model B Plus": 60.0, "Raspberry Pi 3 Model A Plus": 60.0}
"""Boards that do so earlier."""
GROUP = "sudo usermod -aG video $USER"
INSTALL = "sudo apt-get install raspi-utils, or libraspberrypi-bin"
MIN_AVAILABLE = 48_000_000
"""Bytes: with less the kernel drops pages of the programs themselves, and reads them again."""
MAX_SWAPPED = 1_000_000
"""Bytes, in the timed runs of one process."""
MAX_WATCHING = 0.05
"""Of one core; the agent watches less often before it takes so much."""


def watched_reasons(result: AgentResult) -> Iterator[Reason]:
    """What slowed the device down while it was watched, whatever ran."""
    yield from _throttled(result)
    yield from _hot(result)
    timed = [state for state in _watched(result) if state.phase.endswith(TIMED_PHASES)]
    # An NPU has a clock of its own, and the processor's may fall while it waits.
    if not result.environment.devices:
        yield from _fallen_clocks(timed)
        yield from _below_asked(timed)
        yield from _slow_clock(timed, max(result.board.max_clocks_mhz, default=0.0))
    yield from _swapping(_and_after(timed, result.after), result.board.page_size)
    yield from _short_of_memory(timed)
    yield from _still_fan(timed)
    yield from _unwatched(result)
    yield from _unseen(result, timed)
    yield from _watched_too_hard(result)


def _watched(result: AgentResult) -> list[DeviceState]:
    """The states seen, without those of a run without a pause: that may heat the board."""
    return [state for state in result.watched if not state.phase.startswith(UNPAUSED)]


def _seen(result: AgentResult) -> list[DeviceState]:
    return [*filter(None, (result.before, result.after)), *_watched(result)]


def _unwatched(result: AgentResult) -> Iterator[Reason]:
    seen = _seen(result)
    reads_bits = {state.throttled is not None for state in seen}
    message = ""
    if not any(map(_shows_throttling, seen)):
        message = (
            "the device tells neither temperature, clocks nor throttling: a run that was slowed "
            "down would not be noticed but by its drift"
        )
    elif reads_bits == {True, False}:
        message = "the device did not always tell its throttle bits"
    elif _hides_bits(result):
        said = next((state.throttled_unread for state in seen if state.throttled_unread), None)
        fix = f"{GROUP}, and log in again: its user must be in the group video" if said else INSTALL
        why = f"`vcgencmd get_throttled` says {said!r}" if said else "vcgencmd is not there"
        message = f"nobody could watch the throttle bits: {why}; on the device: {fix}"
    elif result.watch_failure:
        message = f"the device could not always be watched: {result.watch_failure}"
    if message:
        yield Reason.warning(InvalidityCause.UNWATCHED, message)


def _unseen(result: AgentResult, timed: list[DeviceState]) -> Iterator[Reason]:
    """Timed runs during which nobody looked, or which nobody could see swap."""
    if not any(map(_shows_throttling, _seen(result))):
        return  # that is told, and looks would have shown nothing
    looks = Counter(map(_phase, timed))
    pages = Counter(s.phase for s in _and_after(timed, result.after) if s.swapped_pages is not None)
    blind = [phase for phase in _timed_phases(result) if not looks[phase]]
    if not blind and pages:
        blind = [phase for phase in _timed_phases(result) if pages[phase] < 2]
    if blind:
        yield Reason.warning(
            InvalidityCause.UNWATCHED,
            f"nobody looked often enough at the device in {len(blind)} of "
            f"{len(_timed_phases(result))} timed phases: {', '.join(blind)}",
        )


def _timed_phases(result: AgentResult) -> list[str]:
    """What the agent calls them."""
    each = [(n, number) for n, found in result.protocol.items() for number in range(len(found))]
    return [
        *(f"{threads} threads, process {number + 1}: timed" for threads, number in each),
        *(["interleaved: latency"] if result.latency else []),
        *(["operators: timed"] if result.operators else []),
    ]


def _and_after(timed: list[DeviceState], after: DeviceState | None) -> list[DeviceState]:
    """With the look right after the last phase, which counts as its end for what only grows."""
    if after is None or not timed:
        return timed
    return [*timed, after.model_copy(update={"phase": timed[-1].phase})]


def _hides_bits(result: AgentResult) -> bool:
    """Whether it is a board with throttle bits, and none were read."""
    seen = _seen(result)
    has_bits = (result.board.board or "").startswith(PI) or any(s.throttled_unread for s in seen)
    return has_bits and not any(state.throttled is not None for state in seen)


def _shows_throttling(state: DeviceState) -> bool:
    told = (state.throttled, state.temperature_c, clock_of(state))
    return any(value is not None for value in told)


def _throttled(result: AgentResult) -> Iterator[Reason]:
    """Bits that were set while it ran, or that came to be set since it began."""
    known = result.before.throttled if result.before else None
    before = ALL_BITS if known is None else known  # what was set long ago cannot be told apart
    seen = reduce(or_, (s.throttled or 0 for s in [*_watched(result), result.after] if s), 0)
    for bit, name in NOW_BITS.items():
        now = seen >> bit & 1
        newly_set = (seen & ~before) >> (bit + SINCE_START) & 1
        if now or newly_set:
            earlier = "not told" if known is None else f"{known:#x}"
            yield Reason.invalid(
                InvalidityCause.THROTTLED,
                f"{name} during the run (bits {seen:#x}, {earlier} before)",
            )


def _hot(result: AgentResult) -> Iterator[Reason]:
    """Where the bits were read they decide; where they were not, the temperature does."""
    board = result.board.board or ""
    if not (board.startswith(PI) or _hides_bits(result)):
        return
    limits = [limit for name, limit in SOFT_LIMITS.items() if board.startswith(name)]
    limit = min(limits, default=THROTTLING_CELSIUS)
    found = [state.temperature_c or 0.0 for state in _watched(result)]
    if max(found, default=0.0) < limit:
        return
    message = f"it was {max(found):.1f} C hot: from {limit:g} C on its firmware lowers the clock"
    make = Reason.invalid if _hides_bits(result) else Reason.warning
    yield make(InvalidityCause.HOT, f"{message}; a heat sink or a fan helps")


def _fallen_clocks(timed: list[DeviceState]) -> Iterator[Reason]:
    """The fastest core is the one that works, under any governor."""
    # One thread may turbo higher than four: each number of threads is held to itself.
    for work in dict.fromkeys(map(_work, timed)):
        of_work = (clock_of(state) for state in timed if _work(state) == work)
        clocks = [clock for clock in of_work if clock is not None]
        if clocks and min(clocks) < STEADY_CLOCK * max(clocks):
            yield Reason.invalid(
                InvalidityCause.FREQUENCY_FELL,
                f"the clock fell from {max(clocks):.0f} to {min(clocks):.0f} MHz in the timed runs "
                f"({work})",
            )


def _below_asked(timed: list[DeviceState]) -> Iterator[Reason]:
    """The firmware of a Raspberry Pi gave another clock than the kernel asked for."""
    both = [(s.arm_clock_mhz, max(s.clocks_mhz)) for s in timed if s.arm_clock_mhz and s.clocks_mhz]
    lower = [(given, asked) for given, asked in both if given < STEADY_CLOCK * asked]
    if lower:
        given, asked = min(lower)
        yield Reason.invalid(
            InvalidityCause.FREQUENCY_FELL,
            f"the firmware ran it at {given:.0f} MHz where the kernel asked for {asked:.0f}: heat "
            "or too weak a power supply does that",
        )


def _slow_clock(timed: list[DeviceState], highest: float) -> Iterator[Reason]:
    """A clock that was steady, and below what the processor has."""
    clocks = [clock for clock in map(clock_of, timed) if clock is not None]
    fastest = max(clocks, default=highest)
    if fastest < STEADY_CLOCK * highest:
        governors = ", ".join(sorted({g for s in timed for g in s.governors if g})) or "not told"
        yield Reason.warning(
            InvalidityCause.SLOW_CLOCK,
            f"the clock was {fastest:.0f} of {highest:.0f} MHz at most (governor {governors}): the "
            "figure is that clock's",
        )


def _swapping(timed: list[DeviceState], page_size: int) -> Iterator[Reason]:
    swapped = max((_swapped(list(states)) for _, states in groupby(timed, _phase)), default=0)
    if swapped * page_size > MAX_SWAPPED:
        yield Reason.invalid(
            InvalidityCause.MEMORY,
            f"{swapped * page_size / 1e6:.0f} MB went to swap and back in the timed runs: end "
            "other programs, or take a smaller model",
        )


def _short_of_memory(timed: list[DeviceState]) -> Iterator[Reason]:
    left = [state.available_bytes for state in timed if state.available_bytes is not None]
    if min(left, default=MIN_AVAILABLE) < MIN_AVAILABLE:
        yield Reason.warning(
            InvalidityCause.MEMORY,
            f"{min(left) / 1e6:.0f} MB of memory were left in the timed runs: a device that is "
            "short of it reads its programs from the card again and again",
        )


def _phase(state: DeviceState) -> str:
    return state.phase


def _swapped(states: list[DeviceState]) -> int:
    """Pages, between the first and the last look."""
    pages = [state.swapped_pages for state in states if state.swapped_pages is not None]
    return pages[-1] - pages[0] if pages else 0


def _still_fan(timed: list[DeviceState]) -> Iterator[Reason]:
    if any(state.fan and state.fan.level and state.fan.rpm == 0 for state in timed):
        yield Reason.warning(
            InvalidityCause.HOT, "its fan is switched on and does not turn: is it blocked?"
        )


def _watched_too_hard(result: AgentResult) -> Iterator[Reason]:
    load = result.watching
    if load and load.cpu_seconds > MAX_WATCHING * load.seconds:
        yield Reason.warning(
            InvalidityCause.BUSY,
            f"watching the run took {100 * load.cpu_seconds / load.seconds:.0f} % of a core itself",
        )


def _work(state: DeviceState) -> str:
    """`4 threads` of the phase `4 threads, process 1: timed`; `interleaved`."""
    return state.phase.partition(":")[0].partition(",")[0]
