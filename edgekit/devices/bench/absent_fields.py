"""What a device report does not have, and why: nothing is left out without a word."""

from __future__ import annotations

from pydantic import BaseModel

from edgekit.devices.bench.report import DeviceReport
from edgekit.evidence import Evidence

EMULATED = "an emulator's wall time says nothing about a processor"
UNLABELLED = (
    "no labelled images: name a build's folder, a bundle with its slice, or --labels with class "
    "names and --images with a folder for each"
)
REASONS = {
    "device.emulator": "no emulator: the device runs by itself",
    "device.board": "the device has no /proc/device-tree/model and no DMI name",
    "device.soc": "the device has no device tree",
    "device.isa": "/proc/cpuinfo lists no features",
    "device.max_clocks_mhz": "no cpufreq in /sys",
    "device.ram_bytes": "no /proc/meminfo",
    "device.os": "no /etc/os-release",
    "runtime.delegate.nodes_delegated": "the runtime does not tell nodes by delegate",
    "runtime.delegate.nodes_total": "the runtime does not tell nodes by delegate",
    "latency_us.p99": "fewer than 1000 samples",
    "operators": "not asked for: --operators",
    "sustained": "not asked for: --sustained 15m",
    "energy": "the device has no pmic_read_adc (a Raspberry Pi 5 has)",
    "energy.above_idle_joules": "an older report",
    "energy.board_watts": "an older report",
    "sustained.throttled": "no vcgencmd and no get_throttled in /sys",
    "watching": "the device was not watched",
    "ratio": "no float model was run beside it",
    "artifact.operators": "a file from elsewhere: not read",
    "artifact.macs": "a file from elsewhere: not counted",
    "artifact.parameters": "a file from elsewhere: not counted",
    "artifact.lineage": "a file from elsewhere",
    "correctness.golden": "no golden scores come with the file",
    "correctness.agreement": "no scores of the host to compare with",
    "correctness.top1": UNLABELLED,
    "correctness.host_top1": UNLABELLED,
    "correctness.change": UNLABELLED,
    "correctness.answers": "no labelled images, or two of the same pixels",
}
STATE_REASONS = {
    "temperature_c": "no vcgencmd and no /sys/class/thermal/thermal_zone0",
    "clocks_mhz": "no cpufreq in /sys",
    "governors": "no cpufreq in /sys",
    "throttled": "no vcgencmd and no get_throttled in /sys",
    "throttled_unread": "the bits were read, or there is no vcgencmd",
    "arm_clock_mhz": "no vcgencmd",
    "fan": "no fan that the kernel steers",
    "fan.highest": "the kernel does not tell",
    "fan.rpm": "the fan does not tell how fast it turns",
    "swapped_pages": "no /proc/vmstat",
    "available_bytes": "no /proc/meminfo",
    "watts": "no pmic_read_adc",
    "battery_percent": "no battery in /sys/class/power_supply",
}
NOT_TOLD = "the result does not tell"
MEASURED_WHEN_TIMED = {
    "protocol", "latency_us", "threads_us", "ratio", "memory", "watching", "before", "after",
    "watched", "runtime.affinity", "runtime.delegate", "energy", "sustained",
}  # fmt: skip
EMPTY_IF_UNKNOWN = {"samples", "clocks_mhz", "governors", "max_clocks_mhz", "isa", "watched"}
"""Lists that are empty where a device does not tell."""


def absence_reasons(report: DeviceReport, absent: dict[str, str]) -> dict[str, str]:
    """The reason, by path, of every figure that a report does not have.

    Args:
        absent: what was left out on purpose, and why.
    """
    return {path: absent.get(path) or _reason(path, report) for path in absent_paths(report)}


def _reason(path: str, report: DeviceReport) -> str:
    if report.evidence is Evidence.EMULATED and path in MEASURED_WHEN_TIMED:
        return EMULATED
    if path == "watched" and report.latency_us:
        return "the run was over within a second"
    if path in MEASURED_WHEN_TIMED - REASONS.keys():
        return "latency was not asked for"
    room, _, name = path.partition(".")
    known = STATE_REASONS.get(name) if room in ("before", "after") else REASONS.get(path)
    return known or NOT_TOLD


def absent_paths(report: BaseModel, prefix: str = "") -> list[str]:
    """The paths of all that a report does not have."""
    found = []
    for name in type(report).model_fields:
        value, path = getattr(report, name), f"{prefix}{name}"
        if value is None or (value == [] and name in EMPTY_IF_UNKNOWN):
            found.append(path)
        elif isinstance(value, BaseModel):
            found += absent_paths(value, f"{path}.")
    return found
