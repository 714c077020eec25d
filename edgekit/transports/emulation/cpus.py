"""The Arm CPUs that can be emulated, and how Linux describes each of them.

Runtimes choose their kernels by /proc/cpuinfo and /sys/devices/system/cpu, and qemu-user shows them
the files of the machine underneath. Without files that describe an Arm CPU, ONNX Runtime and
LiteRT crash as they load; with those of another CPU than qemu emulates, int8 kernels end in SIGILL.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

CpuName = Literal["cortex-a53", "cortex-a72", "cortex-a76"]
CPUS: tuple[CpuName, ...] = get_args(CpuName)
CORES = 4


@dataclass(frozen=True)
class Cpu:
    """What /proc/cpuinfo says of a core; the features are those that qemu announces (AT_HWCAP)."""

    part: str
    variant: str
    revision: int
    features: str
    max_khz: int
    min_khz: int


ARMV8 = "fp asimd aes pmull sha1 sha2 crc32 cpuid"
ARMV8_2 = (
    "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
)
# Clocks of the Raspberry Pi 3B+, 4B and 5.
CPU_FACTS: dict[CpuName, Cpu] = {
    "cortex-a53": Cpu("0xd03", "0x0", 4, ARMV8, 1_400_000, 600_000),
    "cortex-a72": Cpu("0xd08", "0x0", 3, ARMV8, 1_800_000, 600_000),
    "cortex-a76": Cpu("0xd0b", "0x4", 1, ARMV8_2, 2_400_000, 1_500_000),
}


def describe(name: CpuName, root: Path) -> None:
    """Write <root>/proc/cpuinfo, <root>/proc/device-tree and <root>/sys/devices/system/cpu."""
    cpu = CPU_FACTS[name]
    for path, text in _files(name, cpu).items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n", encoding="utf-8")


def _files(name: CpuName, cpu: Cpu) -> dict[str, str]:
    every = f"0-{CORES - 1}"
    system = "sys/devices/system/cpu"
    board = f"{name.title()}, emulated by qemu-user"
    files = {"proc/device-tree/model": board, "proc/cpuinfo": _cpuinfo(cpu, board)}
    files[f"{system}/kernel_max"] = str(CORES - 1)
    files |= {f"{system}/{which}": every for which in ("possible", "present", "online")}
    for core in range(CORES):
        topology = {
            "physical_package_id": "0",
            "core_id": str(core),
            "core_siblings": f"{(1 << CORES) - 1:x}",
            "core_siblings_list": every,
            "package_cpus": f"{(1 << CORES) - 1:x}",
            "package_cpus_list": every,
            "thread_siblings": f"{1 << core:x}",
            "thread_siblings_list": str(core),
        }
        files |= {f"{system}/cpu{core}/topology/{key}": text for key, text in topology.items()}
        clocks = {"cpuinfo_max_freq": cpu.max_khz, "cpuinfo_min_freq": cpu.min_khz}
        files |= {f"{system}/cpu{core}/cpufreq/{key}": str(khz) for key, khz in clocks.items()}
    return files


def _cpuinfo(cpu: Cpu, board: str) -> str:
    cores = [
        f"processor\t: {core}\n"
        "BogoMIPS\t: 108.00\n"
        f"Features\t: {cpu.features}\n"
        "CPU implementer\t: 0x41\n"
        "CPU architecture: 8\n"
        f"CPU variant\t: {cpu.variant}\n"
        f"CPU part\t: {cpu.part}\n"
        f"CPU revision\t: {cpu.revision}\n"
        for core in range(CORES)
    ]
    return "\n".join([*cores, f"Model\t\t: {board}"])
