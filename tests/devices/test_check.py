"""What a device is found to be, and what it is told to be missing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.devices.agent_result import NOW_BITS
from edgekit.devices.check import FACTS, check, decode_throttled
from edgekit.devices.device import Device
from edgekit.devices.facts import Checked
from edgekit.devices.lock import held
from edgekit.devices.trial import FOLDER
from edgekit.errors import DeviceError, Fault
from edgekit.transports.base import Completed
from edgekit.transports.fake import Fake
from tests.emulated import emulated
from tests.sshd import Sshd

NONE = Completed(1, "", "No such file or directory")
PYTHON = {
    "path": "/home/pi/edgekit/venv/bin/python",
    "version": "3.11.2",
    "bits": 64,
    "machine": "aarch64",
    "glibc": "2.36",
    "packages": {"numpy": "2.4.6", "ai-edge-litert": "2.3.0"},
}
TRIED = "".join(
    f"{json.dumps([name, scores])}\n"
    for name, scores in {
        "imported": None,
        **json.loads((FOLDER / "scores.json").read_text()),
    }.items()
)
"""What tiny models say that run."""
PI5: dict[str, str | Completed] = {
    "uname -m": "aarch64\n",
    "uname -sr": "Linux 6.6.31+rpt-rpi-2712\n",
    "LONG_BIT": "64\n",
    "os-release": 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "device-tree": "Raspberry Pi 5 Model B Rev 1.0\0",
    "NPROCESSORS": "4\n",
    "meminfo": "MemTotal:        8245248 kB\nMemFree: 1 kB\n",
    "df -Pk": "Filesystem 1024-blocks Used Available Capacity Mounted\n/dev/x 9 9 20000000 1% /\n",
    "measure_temp": "temp=48.3'C\n",
    "scaling_governor": "performance\n" * 4,
    "get_throttled": "throttled=0x0\n",
    "import json": json.dumps(PYTHON),
    "import agent": TRIED,
}


def seen(tmp_path: Path, answers: dict[str, str | Completed]) -> Checked:
    """What is found on a Pi 5 that answers some commands in another way."""
    with Device("pi5", Fake(root=str(tmp_path / "pi5"), answers=PI5 | answers)) as device:
        return check(device)


def python(**fields: Any) -> str:
    return json.dumps(PYTHON | fields)


def test_a_board_that_lacks_nothing(tmp_path: Path) -> None:
    found = seen(tmp_path, {})
    assert (found.architecture, found.bits, found.cores) == ("aarch64", 64, 4)
    assert found.os == "Debian GNU/Linux 12 (bookworm)"
    assert found.kernel == "Linux 6.6.31+rpt-rpi-2712"
    assert found.board == "Raspberry Pi 5 Model B Rev 1.0"
    assert found.memory_bytes == 8245248 * 1024
    assert found.free_bytes == 20_000_000 * 1024
    assert found.temperature_c == 48.3
    assert found.governors == ["performance"]
    assert found.throttling
    assert found.throttling.now == found.throttling.since_boot == []
    assert found.python
    assert found.python.packages["ai-edge-litert"] == "2.3.0"
    assert found.unread == {}
    assert found.problems == []
    assert found.is_fit


def test_it_looks_at_this_machine(tmp_path: Path) -> None:
    with Device("here", Fake(root=str(tmp_path))) as device:
        found = check(device)
    assert found.bits == 64
    assert found.cores
    assert found.python
    assert found.programs == ["sha256sum", "tar", "df", "sync", "mv", "ln"]
    for name in Checked.model_fields:
        assert (getattr(found, name) is None) == (name in found.unread)
    assert not list(Path(found.home).iterdir()), "it leaves nothing behind"


def test_what_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    found = seen(tmp_path, {"NPROCESSORS": NONE, "LONG_BIT": NONE})
    assert found.cores is None
    assert found.unread["cores"] == "No such file or directory"
    assert "bits" in found.unread
    silent = Completed(127, "", "")
    found = seen(
        tmp_path,
        {"NPROCESSORS": "four\n", "measure_temp": silent, "meminfo": "", "import json": "Segfault"},
    )
    assert "Segfault" in found.unread["python"]
    assert "four" in found.unread["cores"]
    assert "127" in found.unread["temperature_c"]
    assert "meminfo" in found.unread["memory_bytes"]


def test_a_temperature_of_sys(tmp_path: Path) -> None:
    assert seen(tmp_path, {"measure_temp": "51540\n"}).temperature_c == 51.54


@pytest.mark.parametrize(
    ("answers", "blocks", "what", "fix"),
    [
        ({"LONG_BIT": "32\n"}, True, "unsupported: a 32-bit system (its OS)", "tflite-runtime"),
        ({"import json": python(packages={"numpy": "2"})}, True, "no runtime", "device setup pi5"),
        ({"import json": python(packages={"openvino": "1"})}, True, "numpy", "device setup pi5"),
        (
            {"import json": python(version="3.7.3")},
            True,
            "older than 3.9",
            "`python` in the inventory",
        ),
        ({"import json": NONE}, True, "no Python", "apt-get install python3"),
        ({"scaling_governor": "ondemand\n"}, False, "ondemand", "echo performance | sudo tee"),
        ({"get_throttled": "throttled=0x50005"}, False, "now: under-voltage, throttled", "power"),
        ({"get_throttled": "80000\n"}, False, "soft temperature limit", "reboot"),
    ],
)
def test_each_lack_has_what_fixes_it(
    tmp_path: Path, answers: dict[str, str | Completed], blocks: bool, what: str, fix: str
) -> None:
    found = seen(tmp_path, answers)
    (problem,) = found.problems
    assert what in problem.what
    assert fix in problem.fix
    assert problem.blocks is blocks
    assert found.is_fit is not blocks


def test_a_device_without_space_or_programs(tmp_path: Path) -> None:
    answers = PI5 | {
        "df -Pk": "F 1024-blocks Used Available\n/dev/x 9 9 100000 1% /\n",
        "command -v": "tar\ndf\nsync\nmv\nln\n",
    }
    with Device("pi5", Fake(root=str(tmp_path / "pi5"), answers=answers)) as device:
        found = check(device)
    programs, space = found.problems
    assert "sha256sum" in programs.what
    assert "coreutils" in programs.fix
    assert "102 MB are free" in space.what


def test_links_that_cannot_be_replaced(tmp_path: Path) -> None:
    answers = PI5 | {"mv -T": Completed(1, "", "mv: unrecognized option: T")}
    with Device("pi5", Fake(root=str(tmp_path / "pi5"), answers=answers)) as device:
        (problem,) = check(device).problems
    assert "atomically" in problem.what


def test_a_phone_needs_no_python(tmp_path: Path) -> None:
    found = seen(tmp_path, {"import json": NONE, "os-release": "PRETTY_NAME=Android 15\n"})
    assert found.os == "Android 15"
    assert found.is_fit
    assert "--benchmark-binary" in found.problems[0].fix


def test_throttle_bits_that_a_user_may_not_read_are_advice(tmp_path: Path) -> None:
    hidden = Completed(255, "", "VCHI initialization failed")
    (problem,) = seen(tmp_path, {"get_throttled": hidden}).problems
    assert "VCHI initialization failed" in problem.what
    assert "sudo usermod -aG video $USER" in problem.fix
    assert not problem.blocks


@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        ("echo throttled=0x0", 0, "throttled=0x0"),
        ("echo VCHI initialization failed >&2; exit 255", 1, "VCHI initialization failed"),
        ("exec no-such-program", 1, "not found"),
    ],
)
def test_what_vcgencmd_says_is_the_reason(
    tmp_path: Path, script: str, code: int, told: str
) -> None:
    tool = tmp_path / "vcgencmd"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    words = ["sh", "-c", f"PATH={tmp_path}:$PATH; {FACTS['throttling'].command}"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == code
    assert told in done.stdout + done.stderr


def test_a_broken_connection_is_no_missing_value(tmp_path: Path) -> None:
    sound = Fake(root=str(tmp_path), answers=PI5)
    with Device("pi5", sound) as device:
        opening = len(sound.commands)
        check(device)
    for number in range(opening + 1, len(sound.commands) + 1):
        way = Fake(root=str(tmp_path), answers=PI5, cut_before=number)
        with Device("pi5", way) as device, pytest.raises(DeviceError) as raised:
            check(device)
        assert raised.value.fault is Fault.CONNECTION_LOST


def test_nobody_who_measures_is_disturbed(tmp_path: Path) -> None:
    """Neither by tiny models nor by the digests of what was deployed."""
    way = Fake(root=str(tmp_path), answers=PI5)
    with Device("pi5", way) as device, held(device, print):
        begin = len(way.commands)
        found = check(device)
    assert found.trials is None
    assert found.models is None
    for field in ("trials", "models"):
        assert "works on it, and would be disturbed" in found.unread[field]
    assert not any("/models" in command for command in way.commands[begin:])
    with Device("pi5", way) as device:
        assert check(device).models == []


@pytest.mark.slow
def test_an_arm_python_behind_a_real_server(tmp_path: Path) -> None:
    emulator = emulated("cortex-a76")
    with (
        Sshd(tmp_path / "sshd", variables=emulator.variables()) as server,
        Device("pi5", server.way(home=str(tmp_path / "home"))) as device,
    ):
        found = check(device)
    assert found.architecture == "aarch64"
    assert found.python
    assert found.python.machine == "aarch64"
    assert found.python.packages.keys() >= {"numpy", "ai-edge-litert", "onnxruntime"}
    assert [trial.fault for trial in found.trials or ()] == [None, None]
    assert found.is_fit


@given(st.sets(st.sampled_from(sorted(NOW_BITS))), st.sets(st.sampled_from(sorted(NOW_BITS))))
def test_throttle_bits(now: set[int], since: set[int]) -> None:
    bits = sum(1 << bit for bit in now) + sum(1 << 16 + bit for bit in since)
    for word in (f"throttled=0x{bits:x}\n", f"{bits:x}\n"):
        found = decode_throttled(word)
        assert found.now == [NOW_BITS[bit] for bit in sorted(now)]
        assert found.since_boot == [NOW_BITS[bit] for bit in sorted(since)]
