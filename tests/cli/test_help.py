"""The help: commands by what people come for, and examples that run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgekit.cli import GROUPS, cli
from tests.commands import edgekit
from tests.test_hints import commands

COMMANDS = {name: command for name, command in commands(cli) if name}
EXAMPLE = re.compile(r"^ {8}edgekit (.*)$", re.MULTILINE)
EXAMPLES = {
    line for command in [cli, *COMMANDS.values()] for line in EXAMPLE.findall(command.help or "")
}
CHEAP = ("plan ", "doctor", "targets", "stages ", "schema ", "device list")
"""Commands that are run here as their examples have them, besides `init`."""


def test_every_command_stands_in_one_group() -> None:
    grouped = [command.name for group in GROUPS.values() for command in group]
    assert len(grouped) == len(set(grouped)) == len(cli.commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_opens_with_an_example_of_the_command(name: str) -> None:
    _, block, *_ = (COMMANDS[name].help or "").split("\n\n")
    assert f"edgekit {name}" in block


def test_no_line_of_the_list_is_cut_off(tmp_path: Path) -> None:
    _, *sections = edgekit("--help", cwd=tmp_path, store=tmp_path).stdout.split("\n\n")
    assert not [section for section in sections if "..." in section]


@pytest.mark.parametrize("line", sorted(EXAMPLES))
def test_the_words_of_an_example_are_understood(line: str) -> None:
    command: click.Command = cli
    words = shlex.split(line.partition(" > ")[0])
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context("edgekit", words)


def test_cheap_examples_run(images_folder: Path) -> None:
    folder = images_folder.parent
    images_folder.rename(folder / "photos")

    def run(line: str) -> None:
        done = edgekit(*shlex.split(line.partition(" > ")[0]), cwd=folder, store=folder / "store")
        assert done.returncode == 0, line + done.stdout + done.stderr

    run("init photos --target rpi")
    (folder / "recipe.yaml").write_text((folder / "photos.yaml").read_text())
    cheap = [line for line in sorted(EXAMPLES) if line.startswith(CHEAP)]
    assert len(cheap) >= len(CHEAP)
    for line in cheap:
        run(line)


def test_the_help_waits_for_no_library() -> None:
    code = """
import sys
from edgekit.cli import main
sys.argv = ["edgekit", "--help"]
try:
    main()
finally:
    print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "edgekit.cli.building" in loaded
    assert not {"numpy", "pydantic", "rich", "yaml", "jinja2", "asyncio"} & loaded
