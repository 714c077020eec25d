"""What a device is, what it has, and what it lacks: `edgekit device check`.

Only looks, and leaves nothing behind. What cannot be read is None, with its reason in `unread`.
"""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.devices.advice import LINKS, MIN_PYTHON, PROGRAMS, no_links, problems_of
from edgekit.devices.agent_result import NOW_BITS
from edgekit.devices.deploy.releases import deployed_models
from edgekit.devices.device import Device
from edgekit.devices.engines import DISTRIBUTIONS
from edgekit.devices.facts import Checked, PythonThere, Throttling
from edgekit.devices.files import free_bytes
from edgekit.devices.lock import look
from edgekit.devices.trial import try_runtimes
from edgekit.engine.records import parse_record
from edgekit.errors import DeviceError, Fault


def decode_throttled(word: str) -> Throttling:
    """`throttled=0x50005` of vcgencmd, or `50005` of /sys."""
    bits = int(word.strip().rpartition("=")[2].removeprefix("0x"), 16)
    return Throttling(
        now=[name for bit, name in NOW_BITS.items() if bits >> bit & 1],
        since_boot=[name for bit, name in NOW_BITS.items() if bits >> 16 + bit & 1],
    )


@dataclass(frozen=True)
class _Fact:
    command: str
    read: Callable[[str], Any]


def _text(output: str) -> str:
    return output.replace("\0", "").strip() or _nothing()


def _nothing() -> Any:
    raise ValueError("it says nothing")


def _temperature(output: str) -> float:
    """`temp=48.3'C` of vcgencmd, or thousandths of a degree of /sys."""
    found = re.search(r"temp=([\d.]+)", output)
    return float(found[1]) if found else int(output) / 1000


FACTS = {
    "architecture": _Fact("uname -m", _text),
    "bits": _Fact("getconf LONG_BIT", int),
    "os": _Fact(
        "cat /etc/os-release 2>/dev/null || "
        "{ v=$(getprop ro.build.version.release) && echo PRETTY_NAME=Android $v; }",
        lambda output: re.findall(r'^PRETTY_NAME="?([^"\n]+)', output, re.MULTILINE)[0],
    ),
    "kernel": _Fact("uname -sr", _text),
    "board": _Fact(
        "cat /proc/device-tree/model 2>/dev/null || getprop ro.product.model 2>/dev/null || "
        "cat /sys/class/dmi/id/product_name",
        _text,
    ),
    # Not nproc, which goes by OMP_NUM_THREADS.
    "cores": _Fact("getconf _NPROCESSORS_ONLN", int),
    "memory_bytes": _Fact(
        "cat /proc/meminfo",
        lambda output: 1024 * int(re.findall(r"MemTotal:\s+(\d+) kB", output)[0]),
    ),
    "temperature_c": _Fact(
        "vcgencmd measure_temp 2>/dev/null || cat /sys/class/thermal/thermal_zone0/temp",
        _temperature,
    ),
    "governors": _Fact(
        "cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
        lambda output: sorted(set(output.split())) or _nothing(),
    ),
    "throttling": _Fact(
        # What vcgencmd says is the reason where both fail.
        'said=$(vcgencmd get_throttled 2>&1) && echo "$said" || '
        "cat /sys/devices/platform/soc*/*firmware/get_throttled 2>/dev/null || "
        '{ echo "$said" >&2; false; }',
        decode_throttled,
    ),
    "programs": _Fact(
        f"for p in {' '.join(PROGRAMS)}; do command -v $p >/dev/null && echo $p; done; true",
        str.split,
    ),
}

PROBE = f"""\
import json, os, platform, struct, sys
try:
    from importlib.metadata import version
except ImportError:  # before Python 3.8
    def version(name): raise Exception
found = {{}}
for name in {DISTRIBUTIONS!r}:
    try:
        found[name] = version(name)
    except Exception:
        pass
try:
    glibc = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
except Exception:  # another C library
    glibc = None
try:
    part = [x for x in open("/proc/cpuinfo") if x.startswith("CPU part")][-1].split()[-1]
except Exception:
    part = None
print(json.dumps({{
    "path": sys.executable, "version": "%d.%d.%d" % sys.version_info[:3],
    "bits": 8 * struct.calcsize("P"), "machine": platform.machine(),
    "glibc": glibc, "part": part, "packages": found}}))
"""


def check(device: Device) -> Checked:
    """Ask an open device for all there is to know before a model goes there.

    Raises:
        DeviceError: the connection broke. What cannot be read has its reason in `unread`.
    """
    checked = Checked(name=device.name, address=device.transport.address, home=device.home)
    facts = FACTS | {
        "free_bytes": _Fact(
            f"df -Pk {shlex.quote(device.home)}",
            lambda output: free_bytes(output) or _nothing(),
        )
    }
    for name, fact in facts.items():
        value, reason = _read(device, fact)
        setattr(checked, name, value)
        if reason:
            checked.unread[name] = reason
    try:
        checked.python = probe_python(device, device.python)
    except DeviceError as error:
        if error.fault is not Fault.OTHER:
            raise
        checked.unread["python"] = error.message
    holder = look(device)
    if holder is None:
        _try(device, checked)
        checked.models = deployed_models(device)
    else:  # both compute for a while
        why = f"{holder[0].who} works on it, and would be disturbed"
        checked.unread.update(trials=why, models=why)
    checked.problems = problems_of(checked, _links(device))
    return checked


def _try(device: Device, checked: Checked) -> None:
    """Run tiny models where there is a Python for the agent."""
    python = checked.python
    if python is None or python.release < MIN_PYTHON or "numpy" not in python.packages:
        checked.unread["trials"] = "no Python with numpy that runs models"
        return
    try:
        checked.trials = try_runtimes(device, python.packages)
    except DeviceError as error:
        if error.fault not in (Fault.OTHER, Fault.FULL):
            raise
        checked.unread["trials"] = error.message


def probe_python(device: Device, python: str) -> PythonThere:
    """Ask a Python on the device, given as the shell takes it, what it is and has.

    Raises:
        DeviceError: it does not run.
    """
    try:
        output = device.sh(f"{python} -c {shlex.quote(PROBE)}", timeout=120)
    except DeviceError as error:
        if error.fault is not Fault.OTHER:
            raise
        why = error.message.rpartition(" ended with ")[2]
        raise DeviceError(f"{device.name}: {python} does not run: {why}") from error
    try:
        return parse_record(PythonThere, output.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise DeviceError(f"{device.name}: {python} said {output.strip()[:60]!r}") from error


def _read(device: Device, fact: _Fact) -> tuple[Any, str | None]:
    done = device.transport.run(fact.command)
    if done.code:
        lines = done.err.strip().splitlines()
        return None, lines[-1] if lines else f"`{fact.command}` ended with {done.code}"
    try:
        return fact.read(done.out), None
    except (ValueError, IndexError) as error:
        return None, f"`{fact.command}` said {done.out.strip()[:60]!r}: {error}"


def need_links(device: Device) -> None:
    """
    Raises:
        DeviceError: `current` of a deployed model could not be switched atomically there.
    """
    if not _links(device):
        raise DeviceError(
            f"{device.name}: {no_links(device.home)}", hint=LINKS, fault=Fault.MISSING_PROGRAM
        )


def _links(device: Device) -> bool:
    """Whether a link can be replaced atomically there."""
    folder = shlex.quote(f"{device.home}/.check-{uuid.uuid4().hex[:8]}")
    done = device.transport.run(
        f"mkdir {folder} && cd {folder} && mkdir a b && ln -s a now && "
        f"ln -sfn b next && mv -T next now && test $(readlink now) = b; "
        f"code=$?; rm -rf {folder}; exit $code"
    )
    return done.code == 0
