"""What this machine has, and what a process takes of it; as Linux tells."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory(proc: Path = PROC, cgroup: Path = CGROUP) -> int | None:
    """Bytes that can still be taken, of machine and container; None where nobody tells."""
    found = [_meminfo(proc / "meminfo"), _left_of(cgroup)]
    return min((each for each in found if each is not None), default=None)


def _meminfo(path: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None


def _left_of(cgroup: Path) -> int | None:
    """Of a container's limit. Pages of files that it has read are given back when asked for."""
    with suppress(OSError, ValueError, IndexError, KeyError):
        limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        lines = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
        files = {name: int(size) for name, size in (line.split() for line in lines)}
        return limit - used + files["inactive_file"] + files["active_file"]
    return None


def resident_memory(process: int, proc: Path = PROC) -> int:
    """Bytes that a process and all that it started have in memory; 0 where it is gone."""
    total, waiting = 0, [process]
    while waiting:
        folder = proc / str(waiting.pop())
        with suppress(OSError, ValueError, IndexError):
            total += PAGE * int((folder / "statm").read_text(encoding="ascii").split()[1])
        for children in folder.glob("task/*/children"):
            with suppress(OSError, ValueError):
                waiting += map(int, children.read_text(encoding="ascii").split())
    return total
