from hypothesis import given
from hypothesis import strategies as st

from edgekit.devices.bench.android import (
    CLOCK,
    Phone,
    Sensor,
    ThermalStatus,
    answers_in,
    board_of,
    environment_of,
    fastest,
    mask_of,
    parse_heat,
    parse_properties,
    state_of,
)
from tests.mutations import damaged_text, fuzz

# https://android.stackexchange.com/questions/246774: a Galaxy A52 with Android 12, shortened.
HEAT = """\
IsStatusOverride: false
ThermalStatusListeners:
        callbacks: 4
Thermal Status: 0
Cached temperatures:
        Temperature{mValue=0.0, mType=2, mName=SUBBAT, mStatus=0}
        Temperature{mValue=99.0, mType=0, mName=AP, mStatus=0}
HAL Ready: true
HAL connection:
        ThermalHAL 2.0 connected: yes
Current temperatures from HAL:
        Temperature{mValue=25.6, mType=0, mName=AP, mStatus=0}
        Temperature{mValue=23.8, mType=2, mName=BAT, mStatus=0}
        Temperature{mValue=NaN, mType=3, mName=LRB, mStatus=0}
Current cooling devices from HAL:
"""


def test_heat_as_the_hardware_tells_it_now() -> None:
    found = parse_heat(HEAT)
    assert found.status is ThermalStatus.NONE
    assert not found.slows_down
    assert [t.name for t in found.temperatures] == ["AP", "BAT"]
    assert found.cpu_celsius == 25.6
    assert found.temperatures[1].type == Sensor.BATTERY


def test_heat_as_it_was_cached_where_the_hardware_tells_nothing() -> None:
    found = parse_heat(HEAT.partition("HAL Ready")[0].replace("Status: 0", "Status: 3"))
    assert found.cpu_celsius == 99.0
    assert found.slows_down


def test_a_device_without_the_service() -> None:
    found = parse_heat("Can't find service: thermalservice")
    assert (found.status, found.temperatures, found.cpu_celsius) == (None, [], None)


def test_properties() -> None:
    text = (
        "[ro.product.model]: [Pixel 9 Pro]\r\n[ro.product.manufacturer]: [Google]\n"
        "[ro.board.platform]: [zumapro]\n[ro.soc.model]: []\n[ro.build.version.sdk]: [35]\n"
        "[ro.product.cpu.abi]: [arm64-v8a]\n[persist.odd]: [a]: [b]\n"
    )
    assert parse_properties(text) == Phone(
        maker="Google",
        model="Pixel 9 Pro",
        soc="zumapro",
        abi="arm64-v8a",
        android=None,
        sdk=35,
        build=None,
        emulator=False,
    )


def test_the_fast_cores_come_first_and_whole_clusters_follow() -> None:
    clocks = {0: 1800, 1: 1800, 2: 1800, 3: 1800, 4: 2400, 5: 2400, 6: 2400, 7: 3000}
    assert fastest(clocks, 1) == [7]
    assert fastest(clocks, 4) == [4, 5, 6, 7]
    assert fastest(clocks, 5) == list(range(8))
    assert mask_of([4, 5, 6, 7]) == "f0"
    assert CLOCK.findall("/sys/devices/system/cpu/cpu10/cpufreq/cpuinfo_max_freq 1800000\n") == [
        ("10", "1800000")
    ]


@given(
    st.dictionaries(st.integers(0, 15), st.integers(1, 5), min_size=1),
    st.integers(1, 16),
)
def test_no_slower_core_is_taken_before_a_faster_one(clocks: dict[int, int], threads: int) -> None:
    chosen = fastest(clocks, threads)
    assert len(chosen) >= min(threads, len(clocks))
    left = [clocks[core] for core in clocks if core not in chosen]
    assert all(khz < min(clocks[core] for core in chosen) for khz in left)


ANSWERS = f"""\
== uptime
12345.67 98765.43
== load
0.52 0.58 0.59 1/897 12345
== memory
MemTotal:        7865432 kB
MemAvailable:    3456789 kB
== clocks
1800000
2400000
== highest
1800000
2400000
== governors
schedutil
schedutil
== cpuinfo
processor	: 0
Features	: fp asimd asimddp
CPU part	: 0xd05
processor	: 1
CPU part	: 0xd41
== battery
  level: 81
== heat
{HEAT}
== machine
aarch64
== kernel
6.1.75-android14
== page
4096
== properties
[ro.product.model]: [Pixel 9]
[ro.build.version.sdk]: [35]
[ro.build.version.release]: [15]
"""


def test_what_a_phone_answers() -> None:
    answers = answers_in(ANSWERS)
    state, board, environment = state_of(answers), board_of(answers), environment_of(answers)
    assert (state.at, state.battery_percent, state.temperature_c) == (12345.67, 81, 25.6)
    assert state.clocks_mhz == board.max_clocks_mhz == [1800.0, 2400.0]
    assert state.load_average == [0.52, 0.58, 0.59]
    assert (board.os, board.ram_bytes) == ("Android 15", 7865432 * 1024)
    assert (environment.cpu, environment.cores) == ("cortex-a78", 2)


@fuzz
@given(damaged_text(ANSWERS))
def test_whatever_a_phone_answers_is_read_or_left_out(text: str) -> None:
    answers = answers_in(text)
    state_of(answers)
    board_of(answers)
    environment_of(answers)
    CLOCK.findall(text)


def test_a_phone_that_answers_nothing() -> None:
    answers = answers_in("")
    assert state_of(answers).clocks_mhz == []
    assert board_of(answers).page_size == 4096
    assert environment_of(answers).cores == 0
