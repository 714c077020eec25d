"""The operations of Python's unpickler: those that could make a small file take much memory or
time are counted, or refused.

They run on a `pickle._Unpickler` that has `containers`, a count, and `stream`, what it reads.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

MAX_CONTAINERS = 1_000_000
MAX_MARKS = 10_000


def refuse_deep(keys: Any) -> None:
    """A tuple of tuples of tuples ... takes no bytes and, as a key, for ever to be hashed."""
    for key in keys:
        if isinstance(key, tuple) and any(isinstance(part, tuple) for part in key):
            raise ValueError("a key is a tuple of tuples")


def _checked(code: bytes, keys: slice) -> Callable[[Any], None]:
    """An operation of the unpickler that makes keys of what lies on its stack."""
    load = _counted(code) if code in _MAKE_CONTAINERS else pickle._Unpickler.dispatch[code[0]]

    def run(reader: Any) -> None:
        refuse_deep(reader.stack[keys])
        load(reader)

    return run


def _counted(code: bytes) -> Callable[[Any], None]:
    load = pickle._Unpickler.dispatch[code[0]]

    def run(reader: Any) -> None:
        reader.containers += 1
        if reader.containers > MAX_CONTAINERS:
            raise ValueError(f"it makes more than {MAX_CONTAINERS:,} lists, dicts, sets and tuples")
        load(reader)

    return run


def _mark(reader: Any) -> None:
    """Each takes a byte of the file and a list."""
    if len(reader.metastack) == MAX_MARKS:
        raise ValueError(f"it begins more than {MAX_MARKS:,} containers inside one another")
    pickle._Unpickler.dispatch[pickle.MARK[0]](reader)


def _remembered(code: bytes) -> Callable[[Any], None]:
    """An operation that gives a number to what was read, under which it can be had again."""
    load = pickle._Unpickler.dispatch[code[0]]

    def run(reader: Any) -> None:
        # Names of a million images are remembered each, and take more bytes than that.
        if len(reader.memo) > MAX_CONTAINERS + reader.stream.tell() // 16:
            raise ValueError("it gives numbers to more than it holds")
        load(reader)

    return run


_EACH_SECOND, _ALL = slice(None, None, 2), slice(None)
_MAKE_CONTAINERS = (
    pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET, pickle.LIST, pickle.DICT,
    pickle.FROZENSET, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3,
)  # fmt: skip
_REMEMBER = (pickle.MEMOIZE, pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT)
OPERATIONS: dict[int, Callable[[Any], None]] = {
    **pickle._Unpickler.dispatch,
    **{code[0]: _counted(code) for code in _MAKE_CONTAINERS},
    **{code[0]: _remembered(code) for code in _REMEMBER},
    pickle.SETITEM[0]: _checked(pickle.SETITEM, slice(-2, -1)),
    pickle.SETITEMS[0]: _checked(pickle.SETITEMS, _EACH_SECOND),
    pickle.DICT[0]: _checked(pickle.DICT, _EACH_SECOND),
    pickle.ADDITEMS[0]: _checked(pickle.ADDITEMS, _ALL),
    pickle.FROZENSET[0]: _checked(pickle.FROZENSET, _ALL),
    pickle.MARK[0]: _mark,
}
