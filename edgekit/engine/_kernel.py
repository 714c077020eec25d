"""What the Linux kernel can take from a process: places to write, a network, memory.

Landlock (Linux 5.13) and seccomp need no rights, so they work for a plain user and in a container,
where namespaces often do not. See landlock(7) and seccomp(2).

    python -P _kernel.py PARENT FOLDER MEMORY COMMAND...

runs a command that may write in a folder alone, and ends with its parent if that is not 0.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # syscalls, the same on all processors
PR_SET_PDEATHSIG, PR_GET_SECCOMP, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 21, 22, 38

WRITE_FILE, REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG = 1 << 1, 1 << 4, 1 << 5, 1 << 7, 1 << 8
REFER, TRUNCATE = 1 << 13, 1 << 14
MAKE_OTHER = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
"""Devices, sockets, pipes and links, which no work folder needs."""
TCP = 0b11
"""To bind and to connect; from version 4."""
SCOPES = 0b11
"""Abstract sockets and signals of processes outside; from version 6."""

PROCESSORS = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""As seccomp calls them."""
SECCOMP, PRLIMIT = (317, 277), (302, 261)
"""Numbers of a syscall on each of the processors."""
REFUSED = {
    "socket": (41, 198),  # the local ones lead to daemons that act for their user
    "socketpair": (53, 199),  # of datagrams: it sends to any local socket
    "io_uring_setup": (425, 425),  # makes sockets without socket(2)
    "truncate": (76, 45),  # Landlock knows it from version 3 on; not that of an open file
    "setsid": (112, 157),  # who ends the process ends its group
    "setpgid": (109, 154),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "unshare": (272, 97),
    "setns": (308, 268),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "shmget": (29, 194),  # what is in these outlives the process, and no limit counts it
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
}
CAPABILITIES = 0x20080522
"""The version of their lists."""
FILES = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
OF_OTHER_ABI = 0x40000000
"""Numbers from here on are those of x32."""
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # of the filter's machine
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 13  # EACCES
FILTER = 2
"""The mode of seccomp that takes a program."""
SET_FILTER, KEEP_SPECULATION = 1, 1 << 2
"""Before Linux 5.16 a filter switches off what the processor does ahead, and models run slower than
they would without it."""


def missing() -> list[str]:
    """What this kernel cannot keep a process from."""
    without = "writing elsewhere and ending other processes of yours (no Landlock)"
    found = [] if _landlock_version() else [without]
    return found if _has_filters() else [*found, "using the network"]


def die_with(parent: int) -> None:
    """Be killed where the process that started this one is, however it ends."""
    if sys.platform == "linux":
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before this could be said
        os.kill(os.getpid(), signal.SIGKILL)


def limit_memory(size: int, *, for_good: bool = False) -> None:
    """At most so many bytes of memory of its own, and so many in a file.

    Not of address space: TensorFlow reserves far more than it uses.

    Args:
        for_good: the process cannot raise it again. It cannot after `confine`, that is: before, a
            process of root's still can.
    """
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
        hard = resource.getrlimit(kind)[1]
        most = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(kind, (most, most if for_good else hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def confine(writable: Iterable[Path]) -> None:
    """Give up the network and every write outside some folders, as far as the kernel can; what the
    process starts has given them up too.

    Raises:
        OSError: the kernel has the means and refuses them.
    """
    if sys.platform != "linux":
        return
    _check(_libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _give_up_capabilities()
    if version := _landlock_version():
        _write_only_in(writable, version)
    if _has_filters():
        _give_up_calls(platform.machine())


def _give_up_capabilities() -> None:
    """What root may do and others may not, raise limits among it; files of others it can read."""
    head = struct.pack("=Ii", CAPABILITIES, 0)
    held = ctypes.create_string_buffer(6 * 4)  # effective, permitted, inheritable, twice
    _check(_libc().capget(head, held))
    kept = [mask & FILES for mask in struct.unpack("=6I", held.raw)[:2]]
    _check(_libc().capset(head, struct.pack("=6I", *kept, 0, 0, 0, 0)))


def _write_only_in(folders: Iterable[Path], version: int) -> None:
    inside = WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG
    inside |= (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("=Q", inside | MAKE_OTHER)
    if version >= 4:
        attributes += struct.pack("=Q", TCP)
    if version >= 6:
        attributes += struct.pack("=Q", SCOPES)
    ruleset = _call(CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path, rights in [
            *((folder, inside) for folder in folders),
            (Path(os.devnull), WRITE_FILE),
        ]:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            _call(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, place), 0)
            os.close(place)
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _give_up_calls(processor: str) -> None:
    """Those of REFUSED, and the limits of other processes."""
    at = list(PROCESSORS).index(processor)
    calls = [numbers[at] for numbers in REFUSED.values()]
    # struct sock_filter: code, jump if true, jump if false, value.
    program = [
        (LOAD, 0, 0, 4),  # seccomp_data.arch
        (EQUAL, 1, 0, PROCESSORS[processor]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),  # seccomp_data.nr
        (AT_LEAST, len(calls) + 4, 0, OF_OTHER_ABI),
        *((EQUAL, len(calls) + 3 - i, 0, call) for i, call in enumerate(calls)),
        (EQUAL, 0, 2, PRLIMIT[at]),
        (LOAD, 0, 0, 16),  # its first argument: a process, 0 for the caller
        (EQUAL, 0, 1, 0),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    if _libc().syscall(ctypes.c_long(SECCOMP[at]), SET_FILTER, KEEP_SPECULATION, head):
        _check(_libc().prctl(PR_SET_SECCOMP, FILTER, ctypes.addressof(head), 0, 0))


def _landlock_version() -> int:
    """0 where the kernel has none, or it is switched off."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def _has_filters() -> bool:
    """Whether we know this processor's calls, and the kernel was built with filters of them."""
    known = sys.platform == "linux" and platform.machine() in PROCESSORS
    return known and _libc().prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def _call(number: int, *arguments: int | bytes) -> int:
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _check(_libc().syscall(ctypes.c_long(number), *given))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"the kernel refuses to confine a process: {os.strerror(code)}")
    return result


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    return libc


def main() -> None:
    parent, folder, memory, *command = sys.argv[1:]
    if int(parent):
        die_with(int(parent))
    limit_memory(int(memory), for_good=True)
    confine([Path(folder)])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
