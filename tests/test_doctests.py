"""Every example in a docstring is run, in the modules that hold one."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

import edgekit

PACKAGE = Path(edgekit.__file__).parent
EXAMPLE = re.compile(r"^\s*>>> ", re.MULTILINE)


def modules_with_examples() -> list[str]:
    """Found in the source: collecting them must not import the 200 files that hold none."""
    return [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
        if EXAMPLE.search(path.read_text())
    ]


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed, "the output of doctest says which"
