"""The examples of docs/python.md: run where they need no build, and else held to the functions."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgekit
from tests.api.test_api import NOT_FUNCTIONS
from tests.comparison.samples import write_build

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
FUNCTION = re.compile(r"edgekit\.\w+")
BLOCK = re.compile(r"(?:^ {4}.*\n|^\n(?= {4}))+", re.MULTILINE)


def calls() -> Iterator[ast.Call]:
    """Of edgekit's functions, in the blocks that are not run."""
    for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if ">>>" in block:
            continue
        code = "\n".join(line[4:] for line in block.splitlines())
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Call) and FUNCTION.fullmatch(ast.unparse(node.func)):
                yield node


def test_the_examples_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    write_build(tmp_path / "build/good/rpi")
    write_build(tmp_path / "build/worse/rpi", wrong=range(8))
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert (found.failed, found.attempted > 8) == (0, True)


def test_the_calls_that_are_not_run_have_arguments_of_the_functions() -> None:
    found = list(calls())
    assert len(found) >= 5
    for call in found:
        assert isinstance(call.func, ast.Attribute)
        function = getattr(edgekit, call.func.attr)
        named = {keyword.arg or "": None for keyword in call.keywords}
        inspect.signature(function).bind(*call.args, **named)


def test_the_commands_that_are_no_functions_are_named() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    (named,) = re.findall(r"arguments\. ([^.]*) are commands alone\.", text)
    assert set(re.findall(r"`(\w+)`", named)) == NOT_FUNCTIONS


def test_every_function_stands_in_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in set(edgekit.__all__) - {"Observer", "Silent"}:
        assert f"`{name}(" in text
