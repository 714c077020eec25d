"""--debug, which every command takes."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from edgekit.cli import cli


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


@pytest.mark.parametrize("command", commands(cli), ids=str)
def test_every_command_takes_debug(command: click.Command) -> None:
    assert "--debug" in {option for parameter in command.params for option in parameter.opts}
