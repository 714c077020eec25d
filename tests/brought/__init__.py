"""What people bring, as they have it: each test is a row of docs/what-edgekit-reads.md.

`python -m tests.brought` writes the page.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, ParamSpec, TypeVar, get_args

P = ParamSpec("P")
R = TypeVar("R")

Kind = Literal[
    "ONNX files",
    "Keras models",
    "TensorFlow Lite files",
    "Checkpoints",
    "Images and folders",
    "Class lists",
    "Recipes and commands",
    "Figures and verdicts",
    "Results from devices",
    "Machines",
]
PAGE = Path(__file__).parents[2] / "docs" / "what-edgekit-reads.md"
HEAD = """# What edgekit reads

Models, checkpoints, folders and results as people have them, and what edgekit does with each.
Every row is a test: `python -m pytest tests/brought`. `python -m tests.brought` writes this page.
"""


class Brought(NamedTuple):
    """A row of the page."""

    kind: Kind
    what: str
    outcome: str


ROWS: list[Brought] = []


def brought(kind: Kind, what: str, outcome: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a test a row of the page.

    Args:
        what: the thing that somebody has, e.g. `An ONNX file of IR version 3`.
        outcome: `read`, `read: ...`, `told: ...` or `refused: ...`.
    """
    ROWS.append(Brought(kind, what, outcome))
    return lambda test: test


def page() -> str:
    """The text of the page, from all tests of this package."""
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("test_"):
            importlib.import_module(f"{__name__}.{module.name}")
    parts = [HEAD]
    for kind in get_args(Kind):
        rows = sorted({row for row in ROWS if row.kind == kind})
        if rows:
            table = [f"| {row.what} | {row.outcome} |" for row in rows]
            parts.append("\n".join([f"## {kind}\n", "| brought | edgekit |", "|---|---|", *table]))
    return "\n".join(f"{part}\n" if part != HEAD else part for part in parts)
