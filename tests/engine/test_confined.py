"""A process that can do no harm: what it may not do, how it ends, and that it is not believed."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
from pydantic import BaseModel

from edgekit.engine import _kernel, confined, confinement
from edgekit.engine.action import Progress
from edgekit.engine.confined import ConfinedProcess
from edgekit.engine.confined_errors import too_long
from edgekit.engine.confined_files import take
from edgekit.engine.confined_program import run_program
from edgekit.engine.confinement import MEMORY, MINUTES, Confinement, one_image
from edgekit.errors import InputError, MissingPackage, Unsupported, WeightsError

GIB = 1 << 30
LIMITS = Confinement("model.weights: m.onnx", memory=2 * GIB, seconds=60)
landlock = pytest.mark.skipif(
    any("Landlock" in what for what in _kernel.missing()), reason="this kernel has no Landlock"
)
filters = pytest.mark.skipif(
    "using the network" in _kernel.missing(), reason="no filter for this processor"
)
kept: TextIO
"""In the process: a file that one task leaves open for the next."""


class Said(BaseModel):
    """What a task of these tests answers."""

    text: str = ""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ConfinedProcess]:
    (tmp_path / "process").mkdir()
    with ConfinedProcess(tmp_path / "process") as found:
        yield found


def run(
    process: ConfinedProcess,
    task: Callable[..., Said],
    *arguments: Any,
    limits: Confinement = LIMITS,
    into: Path = Path("/nonexistent"),
    progress: Progress = lambda *_: None,
) -> str:
    return process.run(limits, task, arguments, Said, into, progress).text


# Tasks, which the process finds by their names


def attempt(what: str, *paths: Path) -> Said:
    ways: dict[str, Callable[[], object]] = {
        "write": lambda: paths[0].write_text("x"),
        "make": lambda: paths[0].mkdir(),
        "remove": lambda: paths[0].unlink(),
        "shorten": lambda: os.truncate(paths[0], 0),
        "rename": lambda: paths[0].rename(paths[1]),
        "link": lambda: os.link(paths[0], paths[1]),
        "symlink": lambda: os.symlink(paths[0], paths[1]),
    }
    try:
        ways[what]()
    except OSError as error:
        return Said(text=type(error).__name__)
    return Said(text="done")


def write_outside(what: str, outside: Path, *, into: Path, progress: Progress) -> Said:
    return attempt(what, outside, into / "inside")


def write_from_a_shell(outside: Path, *, into: Path, progress: Progress) -> Said:
    done = subprocess.run(["sh", "-c", f"echo x > {outside}"], capture_output=True)
    return Said(text="done" if done.returncode == 0 else "refused")


def write_inside(*, into: Path, progress: Progress) -> Said:
    import tempfile

    (into / "folder").mkdir()
    (into / "folder" / "a").write_text("a")
    with tempfile.NamedTemporaryFile("w") as file, open(os.devnull, "w") as nowhere:
        file.write("x")
        nowhere.write("x")
    return Said(text=str(os.getpid()))


def open_socket(family: int, *, into: Path, progress: Progress) -> Said:
    try:
        socket.socket(socket.AddressFamily(family)).close()
    except OSError as error:
        return Said(text=type(error).__name__)
    return Said(text="done")


def look_up(*, into: Path, progress: Progress) -> Said:
    try:
        return Said(text=str(socket.getaddrinfo("example.com", 80)))
    except OSError as error:
        return Said(text=type(error).__name__)


def call(name: str, *numbers: int, into: Path, progress: Progress) -> Said:
    """A function of the C library's: its result, or how it was refused."""
    done = getattr(ctypes.CDLL(None, use_errno=True), name)(*map(ctypes.c_long, numbers))
    return Said(text=errno.errorcode[ctypes.get_errno()] if done == -1 else "done")


def limits_of(pid: int, *, into: Path, progress: Progress) -> Said:
    try:
        return Said(text=str(resource.prlimit(pid, resource.RLIMIT_CPU)))
    except OSError as error:
        return Said(text=type(error).__name__)


def raise_limit(to: int, *, into: Path, progress: Progress) -> Said:
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (to, to))
    except ValueError as error:
        return Said(text=str(error))
    return Said(text="done")


def take_memory(size: int, *, into: Path, progress: Progress) -> Said:
    return Said(text=str(len(bytearray(size))))


def abort_for_memory(*, into: Path, progress: Progress) -> Said:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def write_much(size: int, *, into: Path, progress: Progress) -> Said:
    with (into / "much").open("wb") as stream:
        stream.truncate(size)
    return Said()


def loop(*, into: Path, progress: Progress) -> Said:
    while True:
        pass


def hang_in_silence(words: str, *, into: Path, progress: Progress) -> Said:
    os.write(2, words.encode())
    os.closerange(3, 100)
    return loop(into=into, progress=progress)


def loop_in_c_on_one_image(*, into: Path, progress: Progress) -> Said:
    with one_image():
        ctypes.PyDLL(None).sleep(60)  # holds the interpreter's lock meanwhile
    return Said()


def speak_without_end(*, into: Path, progress: Progress) -> Said:
    while True:
        progress(1, 2, "still here")


def work_in_steps(*, into: Path, progress: Progress) -> Said:
    for step in range(6):
        progress(step, 6, "working")
        time.sleep(0.5)
    return Said(text="done")


def run_images(seconds: float, *, into: Path, progress: Progress) -> Said:
    with one_image() as begin:
        for _ in range(4):
            begin()
            time.sleep(seconds)
    return Said(text="done")


def run_a_program(*, into: Path, progress: Progress) -> Said:
    inner = into / "inner"
    inner.mkdir()
    limits = Confinement("m.onnx", 2 * GIB, seconds=2)
    lines: list[str] = []
    write = "try: open('{}', 'w').close()\nexcept OSError as e: print(type(e).__name__)\n"
    program = "".join(write.format(folder / "a") for folder in (inner, into))
    code, _ = run_program([sys.executable, "-c", program], inner, limits, lines.append)
    hangs = [sys.executable, "-c", "import time; time.sleep(60)"]
    try:
        run_program(hangs, inner, limits, lines.append)
    except WeightsError as error:
        lines.append("no progress" if "no progress" in error.message else error.message)
    return Said(text="\n".join([str(code), *lines]))


def tell(*, into: Path, progress: Progress) -> Said:
    progress(1, 2, "half \x1b[2J way\nhint: more")
    return Said(text="told")


def fail(kind: str, *, into: Path, progress: Progress) -> Said:
    if kind == "unsupported":
        raise Unsupported("no \x1b[2J such operator", hint="another one")
    if kind == "package":
        raise MissingPackage("onnx", "onnxruntime", "this")
    raise ZeroDivisionError("a bug")


def crash(*, into: Path, progress: Progress) -> Said:
    os.write(2, b"about to\n\x1b[2Jcrash\n")
    ctypes.string_at(0)
    return Said()


def lie(line: bytes, *, into: Path, progress: Progress) -> Said:
    os.write(int(sys.argv[1]), line)
    time.sleep(60)
    return Said()


def leave_an_open_file(*, into: Path, progress: Progress) -> Said:
    global kept
    kept = (into / "left").open("w")
    kept.write("good")
    kept.flush()
    return Said()


def write_what_was_kept(*, into: Path, progress: Progress) -> Said:
    kept.write("evil")
    kept.flush()
    return Said()


def make_the_folder_again(*, into: Path, progress: Progress) -> Said:
    def make() -> None:
        while into.exists():
            time.sleep(0.001)
        into.mkdir()

    threading.Thread(target=make).start()
    return Said(text=str(into))


def take_text(text: str, *, into: Path, progress: Progress) -> Said:
    return Said(text=text)


def read_no_more(*, into: Path, progress: Progress) -> Said:
    signal.signal(signal.SIGALRM, lambda *_: time.sleep(60))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    return Said()


def leave_a_child(*, into: Path, progress: Progress) -> Said:
    return Said(text=str(subprocess.Popen(["sleep", "60"]).pid))


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return False


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


# What it may do


def test_what_a_kernel_cannot_prevent_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernel, "_landlock_version", lambda: 1)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert confinement.unprevented() == ""
    monkeypatch.setattr(_kernel, "_landlock_version", lambda: 0)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    words = r"writing elsewhere and ending other processes .* or using the network: .* Linux 5\.13"
    assert re.search(words, confinement.unprevented())


@landlock
@pytest.mark.parametrize("what", ["write", "remove", "shorten", "rename", "link"])
def test_a_file_outside_stays_as_it_is(process: ConfinedProcess, tmp_path: Path, what: str) -> None:
    (tmp_path / "outside").write_text("mine")
    assert run(process, write_outside, what, tmp_path / "outside") in ("PermissionError", "OSError")
    assert (tmp_path / "outside").read_text() == "mine"


@landlock
def test_nothing_is_made_outside_and_no_link_inside(
    process: ConfinedProcess, tmp_path: Path
) -> None:
    assert run(process, write_outside, "make", tmp_path / "new") == "PermissionError"
    assert run(process, write_outside, "symlink", Path("/etc/passwd")) == "PermissionError"
    assert run(process, write_from_a_shell, tmp_path / "new") == "refused"
    assert not (tmp_path / "new").exists()


def test_what_it_leaves_is_taken_and_the_next_task_finds_the_same_process(
    process: ConfinedProcess, tmp_path: Path
) -> None:
    pids = set()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        pids.add(run(process, write_inside, into=tmp_path / name))
        assert (tmp_path / name / "folder" / "a").read_text() == "a"
    assert len(pids) == 1


@filters
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_no_socket_is_opened(process: ConfinedProcess, family: int) -> None:
    assert run(process, open_socket, int(family)) == "PermissionError"
    assert run(process, look_up) != "done"


@filters
def test_a_call_that_reaches_others_or_outlives_it_is_refused(
    process: ConfinedProcess, tmp_path: Path
) -> None:
    calls = {
        "setsid": (),
        "setpgid": (0, 0),
        "setpriority": (0, 0, 19),
        "unshare": (0,),
        "shmget": (0, 4096, 0o1600),
        "semget": (0, 1, 0o1600),
        "msgget": (0, 0o1600),
        "socketpair": (socket.AF_UNIX, socket.SOCK_DGRAM, 0, 0),
        "removexattr": (0, 0),
    }
    told = {name: run(process, call, name, *calls[name], into=tmp_path) for name in calls}
    assert told == dict.fromkeys(calls, "EACCES")


@filters
def test_the_limits_of_other_processes_are_out_of_reach(
    process: ConfinedProcess, tmp_path: Path
) -> None:
    assert run(process, limits_of, os.getpid(), into=tmp_path) == "PermissionError"
    assert run(process, limits_of, 0, into=tmp_path).startswith("(")


# What it may take


def test_memory_beyond_the_limit_is_refused_with_the_variable_that_raises_it(
    process: ConfinedProcess, tmp_path: Path
) -> None:
    assert run(process, take_memory, GIB // 4, into=tmp_path) == str(GIB // 4)
    with pytest.raises(
        WeightsError, match=r"m\.onnx needs more memory, or .* the 2\.0 GB"
    ) as refused:
        run(process, take_memory, 8 * GIB)
    assert f"export {MEMORY}=4" in str(refused.value.hint)
    assert refused.value.exit_code == 2


def test_no_task_raises_its_memory_above_that_of_any(
    process: ConfinedProcess, tmp_path: Path
) -> None:
    most = confinement.confinement("m").memory
    assert "not allowed" in run(process, raise_limit, most + 1, into=tmp_path)
    assert run(process, raise_limit, most, into=tmp_path) == "done"


def test_a_library_that_aborts_for_want_of_memory_is_understood(process: ConfinedProcess) -> None:
    with pytest.raises(WeightsError, match="needs more memory"):
        run(process, abort_for_memory)


def test_a_file_is_no_larger_than_the_memory(process: ConfinedProcess) -> None:
    with pytest.raises(WeightsError, match="or a larger file, than the 2"):
        run(process, write_much, 3 * GIB)


@pytest.mark.parametrize("task", [loop, speak_without_end])
def test_time_beyond_the_limit_is_refused_with_the_variable_that_raises_it(
    process: ConfinedProcess, task: Callable[..., Said]
) -> None:
    limits = Confinement("model.weights: m.onnx", memory=2 * GIB, seconds=2)
    with pytest.raises(WeightsError, match=r"m\.onnx is not done after 2 s") as refused:
        run(process, task, limits=limits)
    assert f"export {MINUTES}=1" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("task", "words"),
    [(loop, "makes no progress for 2 s"), (speak_without_end, "is not done after 4 s")],
)
def test_long_work_is_ended_where_it_makes_no_progress_and_after_a_day(
    process: ConfinedProcess,
    task: Callable[..., Said],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(confinement, "LONG", 2)
    with pytest.raises(WeightsError, match=words) as refused:
        run(process, task, limits=Confinement("m.onnx", 2 * GIB, seconds=2, long=True))
    assert f"export {MINUTES}=1" in str(refused.value.hint)


def test_long_work_goes_on_while_it_makes_progress(
    process: ConfinedProcess, tmp_path: Path
) -> None:
    limits = Confinement("m.onnx", 2 * GIB, seconds=2, long=True)
    assert run(process, work_in_steps, limits=limits, into=tmp_path) == "done"


def test_a_further_image_has_its_own_time(process: ConfinedProcess, tmp_path: Path) -> None:
    limits = Confinement("m.onnx", 2 * GIB, seconds=20)
    assert run(process, run_images, 0.4, limits=limits, into=tmp_path) == "done"
    with pytest.raises(WeightsError, match="on one image takes longer than 1 s"):
        run(process, run_images, 30.0, limits=limits)


@pytest.mark.parametrize(
    ("words", "told"), [("", "closes its output and does not end"), ("bad_alloc", "more memory")]
)
def test_one_that_hangs_in_silence_is_not_told_for_want_of_memory(
    process: ConfinedProcess, words: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "GRACE", 0.2)
    with pytest.raises(WeightsError, match=told):
        run(process, hang_in_silence, words)


@pytest.mark.parametrize(("seconds", "minutes"), [(6, 1), (600, 20), (3600, 120)])
def test_the_hint_gives_more_time_than_there_was(seconds: float, minutes: int) -> None:
    error = too_long(Confinement("m.onnx", GIB, seconds), "m.onnx is not done")
    assert str(error.hint).endswith(f"export {MINUTES}={minutes}")


def test_it_runs_a_program_in_a_narrower_place(process: ConfinedProcess, tmp_path: Path) -> None:
    """As it does to score what a quantiser made."""
    (tmp_path / "into").mkdir()
    told = run(process, run_a_program, into=tmp_path / "into").splitlines()
    assert told == ["0", "PermissionError", "no progress"]
    assert [path.name for path in (tmp_path / "into").rglob("a")] == ["a"]


def test_one_image_has_a_share_of_the_time_even_where_python_cannot_act(
    process: ConfinedProcess,
) -> None:
    limits = Confinement("model.weights: m.onnx", memory=2 * GIB, seconds=20)
    start = time.monotonic()
    with pytest.raises(WeightsError, match="on one image takes longer than 1 s"):
        run(process, loop_in_c_on_one_image, limits=limits)
    assert time.monotonic() - start < 10


def test_one_image_sets_no_alarm_in_a_process_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "setitimer", pytest.fail)
    with one_image():
        pass


def test_limits_follow_the_machine_and_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = confinement.confinement("m", 1000), confinement.confinement("m")
    assert small.memory <= large.memory
    assert large.seconds == 600
    monkeypatch.setenv(MEMORY, "3")
    monkeypatch.setenv(MINUTES, "0.5")
    chosen = confinement.confinement("m", 1000)
    assert (chosen.memory, chosen.seconds) == (3 * GIB, 30)
    monkeypatch.setenv(MINUTES, "much")
    with pytest.raises(InputError, match="EDGEKIT_MODEL_MINUTES is 'much': a number above 0"):
        confinement.confinement("m")


# What it says


def test_progress_is_told_without_what_commands_a_terminal(
    process: ConfinedProcess, tmp_path: Path
) -> None:
    notes: list[Any] = []
    assert run(process, tell, into=tmp_path, progress=lambda *told: notes.append(told)) == "told"
    assert notes == [(1, 2, "half \\x1b[2J way\\nhint: more")]


def test_errors_keep_their_kind_hint_and_exit_code(process: ConfinedProcess) -> None:
    with pytest.raises(Unsupported, match=r"no \\x1b\[2J such operator") as refused:
        run(process, fail, "unsupported")
    assert refused.value.hint == "another one"
    with pytest.raises(MissingPackage, match="this needs the package onnx"):
        run(process, fail, "package")
    with pytest.raises(Exception, match="ZeroDivisionError: a bug") as fault:
        run(process, fail, "bug")
    assert getattr(fault.value, "exit_code", None) == 1


def test_a_crash_is_told_with_its_last_words(process: ConfinedProcess) -> None:
    with pytest.raises(WeightsError, match=r"SIGSEGV.*\\x1b\[2Jcrash"):
        run(process, crash)


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n",
        b'{"result": {"text": 3}}\n',
        b'{"progress": [1]}\n',
        b'{"progress": [-1, 2, ""]}\n',
        b'{"command": "x"}\n',
        b"[" * 9999 + b"\n",
    ],
    ids=["no JSON", "another kind", "half", "below 0", "unknown", "deep"],
)
def test_an_answer_that_is_none_ends_it(process: ConfinedProcess, line: bytes) -> None:
    with pytest.raises(WeightsError, match="no answer that can be understood"):
        run(process, lie, line)


def test_an_error_brings_no_hint_of_the_models_own(process: ConfinedProcess) -> None:
    with pytest.raises(Unsupported) as error:
        run(process, lie, b'{"error": "Unsupported", "message": "a\\nhint: b", "hint": "c\\nd"}\n')
    assert (error.value.message, error.value.hint) == ("a\\nhint: b", "c\\nd")


def test_an_error_of_an_unknown_kind_is_one_of_edgekits(process: ConfinedProcess) -> None:
    with pytest.raises(Exception, match="boo") as error:
        run(process, lie, b'{"error": "storage_errors", "message": "boo"}\n')
    assert type(error.value).__name__ == "EdgekitError"


@pytest.mark.parametrize("kind", ["symlink", "hard link", "pipe"])
def test_what_is_no_plain_file_is_not_taken(tmp_path: Path, kind: str) -> None:
    work, into, outside = tmp_path / "work", tmp_path / "into", tmp_path / "outside"
    (work / "deep").mkdir(parents=True)
    into.mkdir()
    outside.write_text("mine")
    left = work / "deep" / "left"
    {
        "symlink": lambda: left.symlink_to(outside),
        "hard link": lambda: left.hardlink_to(outside),
        "pipe": lambda: os.mkfifo(left),
    }[kind]()
    with pytest.raises(WeightsError, match="left, which is no plain file"):
        take(work, into, 1 << 20)
    assert not list(into.iterdir())


def test_no_more_files_are_taken_than_its_memory_holds(tmp_path: Path) -> None:
    work, into, other = (tmp_path / name for name in ("work", "into", "other"))
    for folder in (work, into, other):
        folder.mkdir()
    for name in "abc":
        (work / name).write_bytes(bytes(5000))
    take(work, into, 15_000)
    assert [(into / name).stat().st_size for name in "abc"] == [5000] * 3
    with pytest.raises(WeightsError, match="left more than"):
        take(work, other, 14_999)


def test_a_file_without_end_is_not_copied_whole(tmp_path: Path) -> None:
    work, into = tmp_path / "work", tmp_path / "into"
    work.mkdir()
    into.mkdir()
    with (work / "sparse").open("wb") as stream:
        stream.truncate(1 << 34)
    with pytest.raises(WeightsError, match="left more than"):
        take(work, into, 1 << 20)
    assert (into / "sparse").stat().st_size <= 2 << 20


def test_what_was_taken_changes_no_more(process: ConfinedProcess, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    run(process, leave_an_open_file, into=tmp_path / "into")
    run(process, write_what_was_kept)
    assert (tmp_path / "into" / "left").read_text() == "good"


def test_a_task_has_a_folder_that_no_earlier_one_knows(process: ConfinedProcess) -> None:
    folder = Path(run(process, make_the_folder_again))
    while not folder.exists():
        time.sleep(0.001)
    assert run(process, take_text, "next") == "next"


def test_a_process_that_reads_no_task_is_not_waited_for(process: ConfinedProcess) -> None:
    run(process, read_no_more)
    time.sleep(0.3)
    limits = Confinement("model.weights: m.onnx", memory=2 * GIB, seconds=0.5)
    with pytest.raises(WeightsError, match="is not done after"):
        run(process, take_text, "x" * 200_000, limits=limits)


def test_a_long_answer_takes_no_longer_than_its_bytes(process: ConfinedProcess) -> None:
    text = "x" * (8 << 20)
    assert run(process, take_text, text) == text


# How it ends


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    with ConfinedProcess(tmp_path) as process:
        (tmp_path / "into").mkdir()
        pid = int(run(process, leave_a_child, into=tmp_path / "into"))
        assert is_alive(pid)
    assert ends(pid)


PARENT = """
import sys, pathlib, tests.engine.test_confined as t
from edgekit.engine.confined import ConfinedProcess
folder = pathlib.Path(sys.argv[1])
t.run(ConfinedProcess(folder), t.announce, folder)
"""


def announce(folder: Path, *, into: Path, progress: Progress) -> Said:
    (folder / "pid").write_text(str(os.getpid()))
    return loop(into=into, progress=progress)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_its_parent_however_that_ends(tmp_path: Path, end: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stderr=subprocess.PIPE)
    written, deadline = tmp_path / "pid", time.monotonic() + 30
    while not (written.exists() and written.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int(written.read_text())
    parent.send_signal(end)
    parent.communicate()
    assert ends(pid)
