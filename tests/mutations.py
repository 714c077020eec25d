"""Damage that files suffer on their way: mutations of JSON, of bytes and of text, for every parser.

    @fuzz
    @given(text=json_texts(GOOD))
    def test_a_damaged_result(text: str) -> None:
        with refusals():
            read_result("result.json", text)

A few hundred inputs unless EDGEKIT_FUZZ says how many; always the same ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, currently_in_test_context, event, settings
from hypothesis import strategies as st

from edgekit.errors import EdgekitError

INPUTS = int(os.environ.get("EDGEKIT_FUZZ", "200"))
REFUSALS = (2, 4, 5)
"""Exit codes of what is wrong with an input: wrong, of another digest, of a run that is none."""
SCREEN = 4000
"""Characters that a message may have: more scrolls away."""
HUGE = 10**300
"""Larger than any integer of 64 bits, and JSON all the same."""
ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**63, HUGE, 0.5, -1.5, 1e308, 1e-320, float("nan"), float("inf"),
    float("-inf"), "", "x", "1", "NaN", "\x00", "\x1b[31m", "\ud800", "../x", "é" * 300, [], [[]],
    [None], [0, "x"], [[1.0], []], {}, {"": None}, {"x": [1, {}]},
]  # fmt: skip
Path_ = tuple[str | int, ...]
Test = TypeVar("Test", bound=Callable[..., None])


def fuzz(test: Test) -> Test:
    """A property that holds whatever comes in: quick as it stands, as long as is asked for."""
    examined = settings(
        max_examples=INPUTS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(test)
    marked: Test = pytest.mark.fuzz(examined)
    return marked


@contextmanager
def refusals() -> Iterator[None]:
    """What a parser refuses in its words may pass; anything else that goes wrong is a bug.

    `--hypothesis-show-statistics` tells how many were refused, and how many taken.
    """
    refused: EdgekitError | None = None
    try:
        yield
    except EdgekitError as error:
        refused = error
    if currently_in_test_context():
        event(f"refused with {refused.exit_code}" if refused else "taken")
    if refused:
        assert refused.exit_code in REFUSALS, f"exit code {refused.exit_code}: {refused.message}"
        assert refused.message.strip(), "refused without a word"
        assert len(refused.message) <= SCREEN, f"{len(refused.message)} characters of message"


def paths_in(data: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Where each value of plain data stands, the whole first."""
    yield at
    keys = range(len(data)) if isinstance(data, list) else data if isinstance(data, dict) else ()
    for key in keys:
        yield from paths_in(data[key], (*at, key))


@st.composite
def mutated(draw: st.DrawFn, good: Any) -> Any:
    """Plain data with one to three values dropped, replaced, doubled, renamed or out of range."""
    data = deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.sampled_from(list(paths_in(data))))
        if not where:
            if draw(st.integers(0, 20)) == 0:
                data = deepcopy(draw(st.sampled_from(ODD_VALUES)))
            continue
        parent = data
        for part in where[:-1]:
            parent = parent[part]
        draw(st.sampled_from(CHANGES))(draw, parent, where[-1])
    return data


def _drop(draw: st.DrawFn, parent: Any, key: Any) -> None:
    del parent[key]


def _replace(draw: st.DrawFn, parent: Any, key: Any) -> None:
    parent[key] = deepcopy(draw(st.sampled_from(ODD_VALUES)))


def _bend(draw: st.DrawFn, parent: Any, key: Any) -> None:
    """A number that is still one, text that was cut, a list that became ragged."""
    value = parent[key]
    if isinstance(value, bool):
        parent[key] = not value
    elif isinstance(value, float) or (isinstance(value, int) and abs(value) < HUGE):
        parent[key] = draw(st.sampled_from([-value, value * 1000, value + 1, value + 0.5, 0]))
    elif isinstance(value, str):
        cut = draw(st.integers(0, len(value)))
        parent[key] = value[:cut] + draw(st.sampled_from(["", "x", value]))
    elif isinstance(value, list):
        parent[key] = draw(st.sampled_from([value[:-1], value * 2, value[::-1], [value]]))
    elif isinstance(value, dict):
        parent[key] = [*value.values()]


def _rename(draw: st.DrawFn, parent: Any, key: Any) -> None:
    """Of a list, an item twice."""
    if isinstance(parent, list):
        parent.insert(key, deepcopy(parent[key]))
    else:
        parent[draw(st.sampled_from([f"{key}s", "", "0", "-1", "1e3", "x"]))] = parent.pop(key)


CHANGES = [_drop, _replace, _replace, _bend, _bend, _rename]


def json_texts(good: Any) -> st.SearchStrategy[str]:
    """Mutated data as JSON, NaN and infinity as Python writes them; a few texts are damaged too."""
    texts = mutated(good).map(json.dumps)
    return st.one_of(texts, texts, texts, texts.flatmap(damaged_text))


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """Bytes that were cut off, flipped, blanked, doubled or lost on a stick."""
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([1, 1, 2, 16, 512, 4096]))
        piece = content[start : start + length]
        match draw(st.sampled_from(["flip", "flip", "cut", "blank", "lose", "double", "random"])):
            case "flip" if piece:
                content[start] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del content[start:]
            case "blank":
                content[start : start + length] = bytes(len(piece))
            case "lose":
                del content[start : start + length]
            case "double":
                content[start:start] = piece
            case "random":
                content[start : start + length] = draw(st.binary(max_size=8))
    return bytes(content)


WORDS = [
    "", " ", "\n", "\r\n", "\t", "=", ":", ",", "-", "0", "-1", "nan", "inf", "1e999", "9" * 5000,
    "٣", "x=1", "count=3", "\x00", "\x1b[31m", "\ud800", "é", "\u2028", "{", "}", "[", '"', "#",
    "&a", "*a",
]  # fmt: skip
"""What is put into a text; the 3 is an Arabic one, which `\\d` takes and few think of."""


@st.composite
def damaged_text(draw: st.DrawFn, good: str) -> str:
    """Text with words, lines or characters lost, doubled, moved, replaced or new."""
    text = good
    for _ in range(draw(st.integers(1, 4))):
        lines = text.splitlines(keepends=True) or [""]
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        start = draw(st.integers(0, len(line)))
        end = min(len(line), start + draw(st.integers(0, 12)))
        match draw(st.sampled_from(["insert", "insert", "lose", "number", "drop", "move", "cut"])):
            case "insert":
                lines[at] = line[:start] + draw(st.sampled_from(WORDS)) + line[end:]
            case "lose":
                lines[at] = line[:start] + line[end:]
            case "number":
                digits = [i for i, character in enumerate(line) if character.isdigit()]
                if digits:
                    there = draw(st.sampled_from(digits))
                    lines[at] = line[:there] + draw(st.sampled_from(WORDS)) + line[there + 1 :]
            case "drop":
                del lines[at]
            case "move":
                lines.insert(draw(st.integers(0, len(lines))), line)
            case "cut":
                lines[at:] = [line[:start]]
        text = "".join(lines)
    return text
