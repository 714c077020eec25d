"""What an Android device tells of itself: properties, heat, and which of its cores are fast."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum

from pydantic import Field

from edgekit.agent.agent import ARM_CORES
from edgekit.devices.agent_result import DeviceState, ReportPart
from edgekit.devices.device import Device

CLOCKS = (
    "for f in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq; "
    'do echo "$f $(cat "$f")"; done 2>/dev/null; true'
)
CLOCK = re.compile(r"/cpu(\d+)/cpufreq/cpuinfo_max_freq (\d+)\s*$", re.MULTILINE)
PROPERTY = re.compile(r"^\[(.+?)\]: \[(.*?)\]\s*$", re.MULTILINE)
STATUS = re.compile(r"Thermal Status: (\d+)")
TEMPERATURE = re.compile(
    r"Temperature\{mValue=(\S+), mType=(-?\d+), mName=(.*?), mStatus=(-?\d+)\}"
)
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
    answers = re.split(r"^== (\w+)$", device.sh("; ".join([*lines, "true"])), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(answers[1::2], answers[2::2], strict=True)}


def state_of(answers: dict[str, str]) -> DeviceState:
    battery = re.search(r"level: (\d+)", answers["battery"])
    return DeviceState(
        at=float((answers["uptime"].split() or ["0"])[0]),
        temperature_c=parse_heat(answers["heat"]).cpu_celsius,
        clocks_mhz=[int(khz) / 1000 for khz in answers["clocks"].split()],
        governors=list(answers["governors"].split()),
        throttled=None,
        load_average=[float(x) for x in answers["load"].split()[:3]],
        available_bytes=_memory_bytes("MemAvailable", answers),
        watts=None,
        battery_percent=int(battery[1]) if battery else None,
    )


def environment_of(answers: dict[str, str]) -> dict[str, object]:
    """`environment`, as the agent tells it of a device that runs Python."""
    phone = parse_properties(answers["properties"])
    parts = re.findall(r"CPU part\s*: (\w+)", answers["cpuinfo"])
    # The fast cores of a phone come last.
    cpu = ARM_CORES.get(parts[-1]) if parts else None
    return {
        "machine": answers["machine"],
        "cpu": cpu or phone.soc or phone.abi or answers["machine"],
        "cores": len(parts) or answers["cpuinfo"].count("processor"),
        "python": None,
        "versions": {},
    }


def board_of(answers: dict[str, str]) -> dict[str, object]:
    """`board`, as the agent tells it of a device that runs Python."""
    phone = parse_properties(answers["properties"])
    features = re.search(r"Features\s*: (.*)", answers["cpuinfo"])
    return {
        "emulator": "Android emulator" if phone.emulator else None,
        "board": ", ".join(filter(None, (phone.maker, phone.model, phone.build))) or None,
        "soc": phone.soc,
        "isa": features[1].split() if features else [],
        "ram_bytes": _memory_bytes("MemTotal", answers),
        "os": f"Android {phone.android}" if phone.android else None,
        "kernel": answers["kernel"],
        "page_size": int(answers["page"] or 4096),
        "max_clocks_mhz": [int(khz) / 1000 for khz in answers["highest"].split()],
    }


def _memory_bytes(name: str, answers: dict[str, str]) -> int | None:
    """A line of /proc/meminfo."""
    found = re.search(rf"{name}: +(\d+) kB", answers["memory"])
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
        sdk=int(sdk) if sdk.isdigit() else None,
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
            if re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", value)
        ],
    )
