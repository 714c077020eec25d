"""What a board tells while it works, and what comes of a board that hides it."""

from __future__ import annotations

import pytest

from edgekit.devices.agent_result import AgentResult, DeviceState, Fan, WatchLoad
from edgekit.devices.bench.watched import watched_reasons
from edgekit.evidence import InvalidityCause, Validity
from tests.devices.bench.runs import SILENT, process, run, state

HIDDEN = "VCHI initialization failed"
"""What vcgencmd says to a user who is not in the group video."""


def on(name: str, raw: AgentResult) -> AgentResult:
    return raw.model_copy(update={"board": SILENT.model_copy(update={"board": name})})


def causes(raw: AgentResult) -> dict[InvalidityCause, Validity]:
    return {reason.cause: reason.validity for reason in watched_reasons(raw)}


@pytest.mark.parametrize("watched", [[], [state(phase="idle")], [state(phase="interleaved")]])
def test_timed_runs_at_which_nobody_looked(watched: list[DeviceState]) -> None:
    raw = run([process()]).model_copy(update={"watched": watched})
    (reason,) = watched_reasons(raw)
    assert (reason.cause, reason.validity) == (InvalidityCause.UNWATCHED, Validity.WARN)
    assert "1 of 1 timed phases: 4 threads, process 1: timed" in reason.words


def test_one_look_does_not_show_swap() -> None:
    """But for the last phase, right after which the device is looked at."""
    one, two = "4 threads, process 1: timed", "4 threads, process 2: timed"
    looks = [state(phase=one, swapped_pages=1), state(phase=two, swapped_pages=2)]
    (reason,) = watched_reasons(run(watched=looks, after=state(swapped_pages=3)))
    assert reason.cause is InvalidityCause.UNWATCHED
    assert f"1 of 2 timed phases: {one}" in reason.words
    swapped = run(watched=[looks[0], *looks], after=state(swapped_pages=3000))
    assert causes(swapped) == {InvalidityCause.MEMORY: Validity.INVALID}


def test_throttle_bits_that_a_user_may_not_read() -> None:
    blind = state(throttled=None, throttled_unread=HIDDEN)
    (reason,) = watched_reasons(run(before=blind, after=blind, watched=[blind]))
    assert (reason.cause, reason.validity) == (InvalidityCause.UNWATCHED, Validity.WARN)
    assert HIDDEN in reason.words
    assert "sudo usermod -aG video $USER" in reason.words
    mute = state(throttled=None)
    silent = run(before=mute, after=mute, watched=[mute])
    assert causes(silent) == {}, "a board that has no such bits"
    assert causes(on("Raspberry Pi 4 Model B", silent)) == {
        InvalidityCause.UNWATCHED: Validity.WARN
    }


@pytest.mark.parametrize(
    ("board", "celsius", "hidden", "expected"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", 79.9, True, None),
        ("Raspberry Pi 4 Model B Rev 1.4", 80.0, True, Validity.INVALID),
        ("Raspberry Pi 4 Model B Rev 1.4", 80.0, False, Validity.WARN),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", 60.5, True, Validity.INVALID),
        ("Raspberry Pi 3 Model B Rev 1.2", 60.5, True, None),
        ("a laptop", 95.0, False, None),
    ],
)
def test_heat(board: str, celsius: float, hidden: bool, expected: Validity | None) -> None:
    hot = state(temperature_c=celsius, throttled=None if hidden else 0)
    cool = state(throttled=hot.throttled)
    found = causes(on(board, run(before=cool, after=cool, watched=[cool, hot])))
    assert found.get(InvalidityCause.HOT) is expected


def test_the_firmware_s_clock_counts_and_not_the_one_that_was_asked_for() -> None:
    capped = state(arm_clock_mhz=1500.0, clocks_mhz=[2400.0])
    (reason,) = watched_reasons(run(watched=[capped, capped]))
    assert reason.validity is Validity.INVALID
    assert "1500 MHz where the kernel asked for 2400" in reason.words
    fell = [state(arm_clock_mhz=clock, clocks_mhz=[]) for clock in (2400.0, 1500.0)]
    assert causes(run(watched=fell)) == {InvalidityCause.FREQUENCY_FELL: Validity.INVALID}
    assert causes(run(watched=[state(arm_clock_mhz=2400.0)] * 2)) == {}


def test_a_board_that_is_short_of_memory() -> None:
    full = state(available_bytes=10_000_000, swapped_pages=700)
    assert causes(run(watched=[full, full])) == {InvalidityCause.MEMORY: Validity.WARN}
    swapping = [state(swapped_pages=pages) for pages in (700, 700 + 300)]
    assert causes(run(watched=swapping)) == {InvalidityCause.MEMORY: Validity.INVALID}
    phases = ["4 threads, process 1: timed"] * 2 + ["4 threads, process 2: timed"] * 2
    pages = (900, 900, 1800, 1800)
    between = [state(phase=p, swapped_pages=n) for p, n in zip(phases, pages, strict=True)]
    assert causes(run(watched=between)) == {}, "while the next process loads"


def test_a_fan_that_does_not_turn() -> None:
    still = state(fan=Fan(level=3, highest=4, rpm=0))
    assert causes(run(watched=[still])) == {InvalidityCause.HOT: Validity.WARN}
    for fan in (Fan(level=0, highest=4, rpm=0), Fan(level=3, highest=4, rpm=None)):
        assert causes(run(watched=[state(fan=fan)])) == {}


def test_a_watcher_that_disturbs_the_run_is_told() -> None:
    raw = run().model_copy(update={"watching": WatchLoad(cpu_seconds=6.0, seconds=60.0)})
    (reason,) = watched_reasons(raw)
    assert "10 % of a core" in reason.words


@pytest.mark.parametrize("bits", [0x1, 0x2, 0x4, 0x8])
def test_a_throttle_bit_during_the_run(bits: int) -> None:
    raw = run(watched=[state(), state(throttled=bits)])
    assert causes(raw) == {InvalidityCause.THROTTLED: Validity.INVALID}


def test_a_bit_that_came_to_be_set_between_two_looks() -> None:
    raw = run(before=state(throttled=0), after=state(throttled=0x40000))
    assert causes(raw) == {InvalidityCause.THROTTLED: Validity.INVALID}


def test_a_bit_that_was_set_long_before_is_no_reason() -> None:
    old = state(throttled=0x50005 & 0xF0000)
    assert causes(run(before=old, after=old, watched=[old])) == {}


def test_a_clock_that_falls() -> None:
    raw = run(watched=[state(clocks_mhz=[2400.0]), state(clocks_mhz=[1500.0])])
    assert causes(raw) == {InvalidityCause.FREQUENCY_FELL: Validity.INVALID}


def test_one_thread_may_turbo_higher_than_four() -> None:
    one = state(phase="1 threads, process 1: timed", clocks_mhz=[3000.0])
    assert causes(run(watched=[state(), one, state(phase="interleaved: latency")])) == {}
    slower = state(phase="interleaved: latency", clocks_mhz=[1500.0])
    found = causes(run(watched=[state(), one, state(phase="interleaved: latency"), slower]))
    assert found == {InvalidityCause.FREQUENCY_FELL: Validity.INVALID}


def test_while_an_npu_works_the_cpu_may_idle() -> None:
    raw = run(watched=[state(clocks_mhz=[2400.0]), state(clocks_mhz=[600.0])])
    found = raw.model_copy(
        update={"environment": raw.environment.model_copy(update={"devices": {"NPU": {}}})}
    )
    assert causes(found) == {}


def test_bits_of_before_that_were_not_told_are_not_taken_for_the_run_s() -> None:
    raw = run(before=state(throttled=None), watched=[state(throttled=0x50000)])
    assert InvalidityCause.THROTTLED not in causes(raw)
    raw = run(before=state(throttled=None), watched=[state(throttled=0x50004)])
    assert causes(raw)[InvalidityCause.THROTTLED] is Validity.INVALID


def test_an_idle_clock_is_no_reason() -> None:
    raw = run(watched=[state(phase="idle", clocks_mhz=[600.0]), state(clocks_mhz=[2400.0])])
    assert causes(raw) == {}


def test_a_device_that_tells_nothing() -> None:
    mute = state(temperature_c=None, clocks_mhz=[], throttled=None)
    found = causes(run(before=mute, after=mute, watched=[mute]))
    assert found == {InvalidityCause.UNWATCHED: Validity.WARN}


def test_a_clock_that_is_low_throughout() -> None:
    """It may be what its owner wants; the figure is that clock's, and says so."""
    slow = [state(clocks_mhz=[600.0], governors=["powersave"])] * 2
    raw = run(watched=slow).model_copy(
        update={"board": SILENT.model_copy(update={"max_clocks_mhz": [2400.0]})}
    )
    (reason,) = watched_reasons(raw)
    assert (reason.cause, reason.validity) == (InvalidityCause.SLOW_CLOCK, Validity.WARN)
    assert "600 of 2400 MHz" in reason.words
    assert "powersave" in reason.words


def test_bits_that_are_not_always_told() -> None:
    raw = run(watched=[state(), state(throttled=None)])
    assert causes(raw) == {InvalidityCause.UNWATCHED: Validity.WARN}
    failed = run().model_copy(update={"watch_failure": "ValueError()"})
    assert causes(failed) == {InvalidityCause.UNWATCHED: Validity.WARN}


def test_a_run_without_a_pause_may_heat_the_board() -> None:
    hot = state(phase="without a pause: sustained", throttled=0x4, clocks_mhz=[1500.0])
    assert causes(run(watched=[state(), hot])) == {}
