"""What is counted under qemu-user."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.cycle_model import guest
from edgekit.cycle_model.counting import count_script
from edgekit.cycle_model.tools import find_tools
from edgekit.errors import DeviceError

# crc32 lets other threads run for as long as it takes.
SCRIPT = """
import ctypes, sys, threading, zlib
text, done = bytes(1 << 16), threading.Event()
def beside():
    while not done.is_set():
        zlib.crc32(text)
mark = ctypes.CDLL(None).sched_get_priority_max
mark({prepare})
other = threading.Thread(target=beside)
if sys.argv[1] == "two":
    other.start()
for run in range(20):
    if run == 10:
        mark({start})
    zlib.crc32(text)
mark({stop})
mark({write})
done.set()
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_runs_beside_is_not_counted(tmp_path: Path) -> None:
    try:
        find_tools()
    except DeviceError as error:
        pytest.skip(f"{error.message}; {error.hint}")
    marks = {name: getattr(guest, name.upper()) for name in ("prepare", "start", "stop", "write")}
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(**marks), encoding="utf-8")
    alone, accompanied = (
        count_script([str(path), threads], "cortex-a53", print, threads)
        for threads in ("one", "two")
    )
    assert alone.instructions > 10 * (1 << 16) / 8
    # What it takes to hand the interpreter to the other thread and back is its own.
    assert accompanied.instructions == pytest.approx(alone.instructions, rel=0.3)
