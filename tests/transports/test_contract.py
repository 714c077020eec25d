"""What every transport does alike, asked of each that can run here."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.devices.inventory import find_transports
from edgekit.errors import DeviceError, Fault
from edgekit.transports.base import Transport

ODD = 'it\'s a $HOME; `odd` "näme" *'


def param(name: str) -> object:
    return pytest.param(name, marks=[pytest.mark.slow] if name == "emulated" else [])


@pytest.fixture(params=map(param, sorted(find_transports())))
def way(request: pytest.FixtureRequest) -> Iterator[Transport]:
    transport: Transport = request.getfixturevalue(f"{request.param}_way")
    with transport:
        yield transport


@pytest.fixture
def folder(way: Transport) -> Iterator[str]:
    """A folder on the device."""
    path = way.run("mktemp -d").out.strip()
    yield path
    way.run(f"rm -rf {shlex.quote(path)}")


def test_it_is_found_by_its_file_and_names_itself(way: Transport) -> None:
    assert find_transports()[way.transport] is type(way)
    assert way.address


def test_its_entry_survives_the_inventory(way: Transport) -> None:
    entry = way.model_dump(exclude_defaults=True)
    again = type(way).model_validate({"transport": way.transport, **entry})
    assert again.model_dump() == way.model_dump()


@pytest.mark.parametrize("code", [0, 1, 7, 127, 255])
def test_a_command_s_own_exit_code_comes_through(way: Transport, code: int) -> None:
    done = way.run(f"echo out; echo err >&2; exit {code}")
    assert (done.code, done.out, done.err) == (code, "out\n", "err\n")


def test_a_killed_command_is_no_broken_connection(way: Transport) -> None:
    assert way.run("sh -c 'kill -9 $$'").code in (137, -9)
    assert way.run("echo still there").out == "still there\n"


def test_the_shell_is_posix_and_quoting_survives(way: Transport) -> None:
    assert way.run(f"printf %s {shlex.quote(ODD)}").out == ODD
    assert way.run("a=1; for i in 1 2; do a=$((a * 3)); done; echo $a").out == "9\n"


def test_stdin_is_empty(way: Transport) -> None:
    assert way.run("cat; echo end").out == "end\n"


def test_messages_are_english(way: Transport) -> None:
    assert "No such file or directory" in way.run("ls /no/such/folder").err


def test_each_line_is_told(way: Transport) -> None:
    told: list[str] = []
    way.run("echo one; echo two", on_line=told.append)
    assert told == ["one", "two"]


def test_a_listener_that_fails_does_not_stop_the_command(way: Transport) -> None:
    """More is said than a pipe holds; without a reader the command would wait for ever."""

    def said(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match=r"^1$"):
        way.run("seq 1 50000", timeout=None, on_line=said)


def test_no_answer_in_time(way: Transport) -> None:
    with pytest.raises(DeviceError) as raised:
        way.run("sleep 4000", timeout=0.5)
    assert raised.value.fault is Fault.NO_ANSWER
    assert way.run("echo still there").out == "still there\n"


@pytest.mark.parametrize("size", [0, 1, 20_000_000])
def test_files_travel_unaltered(way: Transport, folder: str, tmp_path: Path, size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    (tmp_path / "sent").write_bytes(data)
    way.push(tmp_path / "sent", f"{folder}/{ODD}")
    way.pull(f"{folder}/{ODD}", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_a_push_replaces_what_stood_there(way: Transport, folder: str, tmp_path: Path) -> None:
    for words in ("a longer text", "short"):
        (tmp_path / "sent").write_text(words)
        way.push(tmp_path / "sent", f"{folder}/file")
    assert way.run(f"cat {folder}/file").out == "short"


def test_a_push_into_no_folder_and_a_pull_of_no_file(way: Transport, tmp_path: Path) -> None:
    (tmp_path / "sent").write_text("x")
    with pytest.raises(DeviceError, match="/no/such/folder/file"):
        way.push(tmp_path / "sent", "/no/such/folder/file")
    with pytest.raises(DeviceError, match="/no/such/file"):
        way.pull("/no/such/file", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_it_opens_again_after_close_and_closes_twice(way: Transport) -> None:
    way.close()
    way.close()
    way.open()
    assert way.run("echo there").out == "there\n"
