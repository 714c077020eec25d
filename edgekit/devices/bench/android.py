"""What an Android device tells of itself: properties, heat, and which of its cores are fast."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum

from pydantic import Field

from edgekit.agent.agent import ARM_CORES
from edgekit.devices.agent_result import Board, DeviceState, Environment, ReportPart
from edgekit.devices.device import Device

CLOCKS = (
    "for f in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq; "
    'do echo "$f $(cat "$f")"; done 2>/dev/null; true'
)
CLOCK = re.compile(r"/cpu(\d{1,4})/cpufreq/cpuinfo_max_freq (\d{1,9})\s*$", re.MULTILINE | re.ASCII)
PROPERTY = re.compile(r"^\[(.+?)\]: \[(.*?)\]\s*$", re.MULTILINE)
STATUS = re.compile(r"Thermal Status: (\d{1,9})\b", re.ASCII)
TEMPERATURE = re.compile(
    r"Temperature\{mValue=(-?\d{1,6}(?:\.\d+)?(?:[eE]-\d{1,2})?), mType=(-?\d{1,9}), "
    r"mName=(.*?), mStatus=(-?\d{1,9})\}",
    re.ASCII,
)
"""A sensor that is not there is NaN, and no temperature."""
PLAIN = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
CPU = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq"
COMMANDS = {
    "uptime": "cat /proc/uptime",
    "load": "cat /proc/loadavg",
    "memory": "cat /proc/meminfo",
    "clocks": f"cat {CPU}/scaling_cur_freq",
    "highest": f"cat {CPU}/cpuinfo_max_freq",
    "governors": f"cat {CPU}/scaling_governor",
    "cpuinfo": "cat /proc/cpuinfo",
    "battery": "dumpsys battery",
    "heat": "dumpsys thermalservice",
    "machine": "uname -m",
    "kernel": "uname -r",
    "page": "getconf PAGE_SIZE",
    "properties": "getprop",
}
"""What is asked in one go; an answer that a device refuses is empty."""


class Phone(ReportPart):
    """`getprop`; None for what a device does not tell."""

    maker: str | None
    model: str | None
    soc: str | None
    abi: str | None
    """arm64-v8a, ..."""
    android: str | None
    sdk: int | None
    build: str | None
    emulator: bool
    """Android Studio's: its clock is that of no phone."""


class ThermalStatus(IntEnum):
    """android.os.PowerManager: from MODERATE on a device slows down."""

    NONE = 0
    LIGHT = 1
    MODERATE = 2
    SEVERE = 3
    CRITICAL = 4
    EMERGENCY = 5
    SHUTDOWN = 6


class Sensor(IntEnum):
    """android.os.Temperature; other types are left as numbers."""

    CPU = 0
    GPU = 1
    BATTERY = 2
    SKIN = 3


class Temperature(ReportPart):
    name: str
    type: int
    celsius: float = Field(allow_inf_nan=False)
    status: int


class Heat(ReportPart):
    """`dumpsys thermalservice`, of Android 10 and later."""

    status: ThermalStatus | None
    temperatures: list[Temperature]

    @property
    def cpu_celsius(self) -> float | None:
        """The hottest sensor of the processor."""
        found = [t.celsius for t in self.temperatures if t.type == Sensor.CPU]
        return max(found, default=None)

    @property
    def slows_down(self) -> bool:
        return self.status is not None and self.status >= ThermalStatus.MODERATE


def ask(device: Device) -> dict[str, str]:
    """The answers to all COMMANDS, by their names."""
    lines = [f"echo '== {name}'; {command} 2>/dev/null" for name, command in COMMANDS.items()]
    return answers_in(device.sh("; ".join([*lines, "true"])))


def answers_in(text: str) -> dict[str, str]:
    """By the names of all COMMANDS; empty where a device does not answer."""
    parts = re.split(r"^== (\w+)$", text, flags=re.MULTILINE)
    found = zip(parts[1::2], parts[2::2], strict=True)
    return dict.fromkeys(COMMANDS, "") | {name: answer.strip() for name, answer in found}


def _numbers(text: str) -> list[float]:
    """The words that are plain numbers."""
    return [float(word) for word in text.split() if PLAIN.fullmatch(word)]


def state_of(answers: dict[str, str]) -> DeviceState:
    battery = re.search(r"level: (\d{1,3})\b", answers["battery"], re.ASCII)
    return DeviceState(
        at=next(iter(_numbers(answers["uptime"])), 0.0),
        temperature_c=parse_heat(answers["heat"]).cpu_celsius,
        clocks_mhz=[khz / 1000 for khz in _numbers(answers["clocks"])],
        governors=list(answers["governors"].split()),
        throttled=None,
        load_average=_numbers(answers["load"])[:3],
        available_bytes=_memory_bytes("MemAvailable", answers),
        watts=None,
        battery_percent=int(battery[1]) if battery else None,
    )


def environment_of(answers: dict[str, str]) -> Environment:
    """As the agent tells it of a device that runs Python."""
    phone = parse_properties(answers["properties"])
    parts = re.findall(r"CPU part\s*: (\w+)", answers["cpuinfo"])
    # The fast cores of a phone come last.
    cpu = ARM_CORES.get(parts[-1]) if parts else None
    return Environment(
        machine=answers["machine"],
        cpu=cpu or phone.soc or phone.abi or answers["machine"],
        cores=len(parts) or answers["cpuinfo"].count("processor"),
    )


def board_of(answers: dict[str, str]) -> Board:
    """As the agent tells it of a device that runs Python."""
    phone = parse_properties(answers["properties"])
    features = re.search(r"Features\s*: (.*)", answers["cpuinfo"])
    return Board(
        emulator="Android emulator" if phone.emulator else None,
        board=", ".join(filter(None, (phone.maker, phone.model, phone.build))) or None,
        soc=phone.soc,
        isa=features[1].split() if features else [],
        ram_bytes=_memory_bytes("MemTotal", answers),
        os=f"Android {phone.android}" if phone.android else None,
        kernel=answers["kernel"],
        page_size=int(next(iter(_numbers(answers["page"])), 4096)),
        max_clocks_mhz=[khz / 1000 for khz in _numbers(answers["highest"])],
    )


def _memory_bytes(name: str, answers: dict[str, str]) -> int | None:
    """A line of /proc/meminfo."""
    found = re.search(rf"{name}: +(\d{{1,15}}) kB", answers["memory"], re.ASCII)
    return 1024 * int(found[1]) if found else None


def fast_mask(device: Device, threads: int) -> str | None:
    """The cores for a number of threads, as `taskset` takes them; None where clocks are hidden."""
    clocks = {int(core): int(khz) for core, khz in CLOCK.findall(device.sh(CLOCKS))}
    return mask_of(fastest(clocks, threads)) if clocks else None


def fastest(clocks: dict[int, int], threads: int) -> list[int]:
    """The cores of the highest clocks: whole clusters, until there is one for each thread."""
    chosen: list[int] = []
    for clock in sorted(set(clocks.values()), reverse=True):
        if len(chosen) >= threads:
            break
        chosen += [core for core, khz in clocks.items() if khz == clock]
    return sorted(chosen)


def mask_of(cores: Iterable[int]) -> str:
    return f"{sum(1 << core for core in cores):x}"


def parse_properties(text: str) -> Phone:
    found = {name: value for name, value in PROPERTY.findall(text) if value}
    sdk = found.get("ro.build.version.sdk", "")
    return Phone(
        maker=found.get("ro.product.manufacturer"),
        model=found.get("ro.product.model"),
        soc=found.get("ro.soc.model") or found.get("ro.board.platform"),
        abi=found.get("ro.product.cpu.abi"),
        android=found.get("ro.build.version.release"),
        sdk=int(sdk) if re.fullmatch(r"[0-9]{1,4}", sdk) else None,
        build=found.get("ro.build.fingerprint"),
        emulator="1" in (found.get("ro.kernel.qemu"), found.get("ro.boot.qemu")),
    )


def parse_heat(text: str) -> Heat:
    """The sensors as the hardware tells them now, else as they were last cached."""
    status = STATUS.search(text)
    level = int(status[1]) if status else None
    _, _, now = text.partition("Current temperatures from HAL:")
    found = TEMPERATURE.findall(now) or TEMPERATURE.findall(text)
    return Heat(
        status=ThermalStatus(level) if level in list(ThermalStatus) else None,
        temperatures=[
            Temperature(name=name, type=int(kind), celsius=float(value), status=int(state))
            for value, kind, name, state in found
        ],
    )
