"""What is printed: safe for the terminal, whole in every encoding, and told where it is lost."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel
from rich.table import Table

from edgekit.cli import main
from edgekit.cli._output import say, say_json
from edgekit.cli._terminal import Terminal
from edgekit.errors import StorageError

EVIL = "\x1b[31m[red]\u202eü :smile:\x07"
SHOWN = r"\x1b[31m[red]\u202eü :smile:\x07"


class Facts(BaseModel):
    name: str


def test_text_is_shown_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    say(EVIL, err=True, mark="error: ", fg="red")
    seen = capsys.readouterr()
    assert seen.out == f"{SHOWN}\n"
    assert seen.err.endswith(f"{SHOWN}\n")


@pytest.mark.parametrize("value", [Facts(name=EVIL), {"name": EVIL}])
def test_json_is_ascii(value: object, capsys: pytest.CaptureFixture[str]) -> None:
    say_json(value)
    text = capsys.readouterr().out
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text) == {"name": EVIL}


def test_rich_takes_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    terminal = Terminal(stderr=False)
    terminal.width = 100
    terminal.print(table)
    terminal.print(EVIL)
    assert capsys.readouterr().out.count(SHOWN) == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_standard_output_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with io.TextIOWrapper(io.FileIO(os.open("/dev/full", os.O_WRONLY), "w")) as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(StorageError, match="standard output cannot be written"):
            say("x")
        monkeypatch.setattr(sys, "stderr", full)
        say("nobody hears it", err=True)


def test_a_closed_pipe_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(StorageError, match="pipe is closed"):
            Terminal(stderr=False).print("x")


def test_a_name_that_is_too_long_is_a_users_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--float", "f.onnx", "--images", "i", "--mean", "0.5", "--std", "0.5")
    monkeypatch.setattr(sys, "argv", ["edgekit", "inspect", f"{'t' * 5000}.onnx", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: the name of a file is too long: ttt")
