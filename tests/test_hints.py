"""What a hint says to write, to run or to install is there: keys, commands, options and extras."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel, TypeAdapter

import edgekit
from edgekit.cli import cli
from edgekit.data.sources.imagefolder import ImageFolder
from edgekit.evaluation.gates import Gates
from edgekit.models.source import ModelSource
from edgekit.packages import EXTRAS
from edgekit.stages import find_stages

PACKAGE = Path(edgekit.__file__).parent
SECTIONS: dict[str, type[BaseModel]] = {
    "data": ImageFolder,
    "model": ModelSource,
    "gates": Gates,
    **find_stages(),
}
# Not `model.export`, which is Keras's.
SETTING = re.compile(
    rf"(?<![\w.])({'|'.join(SECTIONS)})\.(?!export\b)([a-z_]+)\b(?!\()(?:: ([\w.-]+))?"
)
EXTRA = re.compile(r"edgekit-vision\[([a-z-]+)\]")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]+)")
COMMAND = re.compile(r"\bedgekit ((?:[a-z]+ ?)+)")
ELSEWHERE = {"generate", "no-deps", "output"}
"""Options of other tools."""


def _texts() -> Iterator[tuple[str, str]]:
    """Where each hint stands, and what is fixed of its text."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            for keyword in call.keywords if isinstance(call, ast.Call) else ():
                if keyword.arg == "hint" and isinstance(call, ast.Call):
                    where = f"{path.relative_to(PACKAGE)}:{call.lineno}"
                    yield where, "".join(_strings(keyword.value))


def _strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


HINTS = dict(_texts())


def found(pattern: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
    return [(where, match) for where, text in HINTS.items() for match in pattern.finditer(text)]


def commands(group: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    yield name.strip(), group
    for sub in getattr(group, "commands", {}).values():
        yield from commands(sub, f"{name} {sub.name}")


def test_hints_are_found() -> None:
    assert len(HINTS) > 80


@pytest.mark.parametrize(("where", "match"), found(SETTING))
def test_keys_are_keys_and_take_what_is_proposed(where: str, match: re.Match[str]) -> None:
    section, key, value = match.groups()
    fields = SECTIONS[section].model_fields
    assert key in fields, where
    if value:
        TypeAdapter(fields[key].annotation).validate_strings(value)


def test_commands_and_their_options_exist() -> None:
    known = dict(commands(cli))
    options = {
        option.lstrip("-")
        for command in known.values()
        for parameter in command.params
        for option in parameter.opts
    }
    for where, match in found(COMMAND):
        assert any(f"{match[1]} ".startswith(f"{name} ") for name in known if name), where
    for where, match in found(OPTION):
        assert match[1] in options | ELSEWHERE, f"{where}: --{match[1]}"


def test_extras_exist() -> None:
    text = (PACKAGE.parent / "pyproject.toml").read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    everywhere = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    named = set(EXTRA.findall(everywhere)) | set(EXTRAS)
    assert named >= {"heif", "prune", "keras", "demo"}
    assert named <= set(extras)
