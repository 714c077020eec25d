"""Completion in the real shells: what is typed, a tab, and what the command is then given."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.cli.completing import VARIABLE
from tests.commands import edgekit

ROOT = Path(__file__).parents[2]
PROGRAM = f"""\
#!/bin/sh
if [ -n "${VARIABLE}" ]; then
  exec {sys.executable} -c 'import sys; sys.argv[0] = "edgekit"
from edgekit.cli import main; main()'
fi
echo "$@" > typed
"""
READY = b"READY> "
SETUP = {
    "bash": "PS1='READY> '\nsource edgekit.bash\n",
    "zsh": "PS1='READY> '\nautoload -Uz compinit; compinit -u -d dump\nsource edgekit.zsh\n",
}
START = {"bash": ["bash", "--rcfile", "rc", "-i"], "zsh": ["zsh", "-d", "-i"]}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program `edgekit` completes as it does, and else writes down its arguments."""
    (tmp_path / "edgekit").write_text(PROGRAM)
    (tmp_path / "edgekit").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ZDOTDIR", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")
    return tmp_path


def need(shell: str, desk: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = edgekit("completion", shell, cwd=desk, store=desk).stdout
    (desk / f"edgekit.{shell}").write_text(script)


def typed(desk: Path, shell: str, line: str) -> str:
    """What the program is given once a person has typed the line, with its tabs, and Enter."""
    for name in ("rc", ".zshrc"):
        (desk / name).write_text(SETUP[shell])
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        START[shell], stdin=theirs, stdout=theirs, stderr=theirs, cwd=desk, start_new_session=True
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal that all have left so
        while READY not in said:
            said += os.read(ours, 4096)
        os.write(ours, f"{line}\nexit\n".encode())
        while True:
            said += os.read(ours, 4096)
    os.close(ours)
    assert process.wait() == 0, said.decode()
    return (desk / "typed").read_text().rstrip()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_tab_completes_commands_and_targets(shell: str, desk: Path) -> None:
    need(shell, desk)
    (desk / "photos.yaml").touch()
    given = typed(desk, shell, "edgekit bui\tphot\t --target zer\t")
    assert given.split() == ["build", "photos.yaml", "--target", "zero2w"]


def test_fish_completes_commands_and_targets(desk: Path) -> None:
    need("fish", desk)
    for line, found in (("edgekit bui", "build"), ("edgekit build --target zer", "zero2w")):
        code = f"source edgekit.fish; complete --do-complete '{line}'"
        words = ["fish", "--no-config", "--command", code]
        done = subprocess.run(words, cwd=desk, capture_output=True, text=True, check=True)
        assert done.stdout.split()[0] == found
