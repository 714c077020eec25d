"""`edgekit device`, as a person types it: what is printed, what is written, the exit code."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekit.cli import main
from edgekit.devices.inventory import read_inventory
from tests.sshd import HOST, Sshd


@dataclass
class Said:
    code: int
    out: str
    err: str


class Typed:
    """Runs a command line in this process, against an inventory of its own."""

    def __init__(
        self, inventory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.inventory, self.monkeypatch, self.capsys = inventory, monkeypatch, capsys
        monkeypatch.setenv("EDGEKIT_DEVICES", str(inventory))

    def __call__(self, *words: str) -> Said:
        self.monkeypatch.setattr(sys, "argv", ["edgekit", "device", *words])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = self.capsys.readouterr()
        assert "Traceback" not in captured.err
        return Said(code, captured.out, captured.err)


@pytest.fixture
def device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Typed:
    return Typed(tmp_path / "devices.yaml", monkeypatch, capsys)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as server:
        yield server


def test_a_device_comes_and_goes(device: Typed, tmp_path: Path) -> None:
    assert device("list").out == ""
    added = device("add", "here", "--local", "--home", str(tmp_path / "home"))
    assert added.code == 0, added.err
    assert "edgekit device check here" in added.out
    assert "here  local     this machine" in device("list").out
    entries = json.loads(device("list", "--json").out)
    assert entries["here"]["home"] == str(tmp_path / "home")
    assert device("remove", "here").code == 0
    assert read_inventory(device.inventory) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one of --ssh HOST"),
        (["--local", "--adb", "R58M"], "and no more"),
        (["--ssh", "-oProxyCommand=x"], "--ssh: a name without spaces"),
        (["--local", "--port", "22"], "--port: of no use here"),
        (["--local", "--home", "relative"], "--home: an absolute path"),
        (["--emulated", "cortex_a99", "--unchecked"], "not 'cortex_a99'"),
    ],
)
def test_what_is_no_device_is_not_written(device: Typed, words: list[str], said: str) -> None:
    done = device("add", "x", *words)
    assert done.code == 2
    assert said in done.err
    assert not device.inventory.exists()


def test_a_name_that_is_taken_is_told_before_anything_is_reached(device: Typed) -> None:
    device("add", "x", "--local", "--unchecked")
    done = device("add", "x", "--ssh", "no-such-host.invalid")
    assert done.code == 2
    assert "edgekit device remove x" in done.err


def test_what_cannot_be_reached_is_not_written(device: Typed) -> None:
    done = device("add", "x", "--ssh", "no-such-host.invalid")
    assert done.code == 5
    assert "no such host name" in done.err
    assert not device.inventory.exists()
    assert device("add", "x", "--ssh", "no-such-host.invalid", "--unchecked").code == 0
    assert "no-such-host.invalid" in device("list").out
    assert device("check", "x").code == 5


def test_a_host_key_is_accepted_once(device: Typed, sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    words = ("add", "pi", "--ssh", HOST, "--ssh-config", str(sshd.config))
    refused = device(*words)
    assert refused.code == 5
    assert "--accept-new-host-key" in refused.err
    assert device(*words, "--accept-new-host-key").code == 0
    assert "accept_new" not in device.inventory.read_text()
    assert json.loads(device("check", "pi", "--json").out)["address"] == HOST
    sshd.know("stranger")
    changed = device("check", "pi")
    assert changed.code == 5
    assert "ssh-keygen" in changed.err


def test_a_path_is_written_whole(
    device: Typed, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sshd.folder)
    assert device("add", "pi", "--ssh", HOST, "--ssh-config", "ssh_config").code == 0
    monkeypatch.chdir("/")
    assert "architecture" in device("check", "pi").out


def test_check_tells_what_is_missing(device: Typed, tmp_path: Path) -> None:
    # A Python of its own that has no packages, whatever this machine has.
    home = tmp_path / "home"
    device("add", "here", "--local", "--home", str(home))
    bare = home / "venv/bin/python"
    bare.parent.mkdir(parents=True)
    bare.write_text(f'#!/bin/sh\nexec {shutil.which("python3")} -S "$@"\n')
    bare.chmod(0o755)
    done = device("check", "here")
    assert done.code == 5
    assert "missing: no runtime is installed" in done.out
    assert "hint: edgekit device setup here" in done.err
    as_json = device("check", "here", "--json")
    assert as_json.code == 5
    found = json.loads(as_json.out)
    assert {problem["blocks"] for problem in found["problems"]} >= {True}
    assert found["python"]["packages"] == {}


def test_setup_of_an_unknown_runtime(device: Typed, tmp_path: Path) -> None:
    device("add", "here", "--local", "--home", str(tmp_path / "home"))
    done = device("setup", "here", "--runtime", "tensorrt")
    assert done.code == 2
    assert "litert" in done.err


@pytest.mark.slow
def test_a_device_over_ssh_is_set_up_and_checked(device: Typed, sshd: Sshd) -> None:
    """With the wheels of the package index that pip is configured for."""
    device("add", "pi", "--ssh", HOST, "--ssh-config", str(sshd.config))
    assert device("check", "pi").code == 5
    done = device("setup", "pi")
    assert done.code == 0, done.err
    assert f"{sshd.home}/edgekit/venv/bin/python has numpy" in done.out
    assert "nothing to do" in device("setup", "pi").out
    checked = device("check", "pi")
    assert checked.code == 0, checked.err
    assert "onnxruntime" in checked.out
