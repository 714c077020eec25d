"""Python's unpickler, for files of torch's, in which nothing runs: each class and function that the
file names is a `Foreign` that does nothing, and of a tensor the shape alone is read."""

from __future__ import annotations

import io
import pickle
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any


class Foreign:
    """Stands for an object of any class that is neither a tensor nor a container."""

    name = ""
    """The class or function that the file names."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __new__(cls, *args: object, **kwargs: object) -> Foreign:
        return super().__new__(cls)

    def _ignored(self, *args: object) -> None:
        """What a pickle fills the object with."""

    __setstate__ = __setitem__ = append = extend = add = update = _ignored


@dataclass(frozen=True)
class StoredTensor:
    """A tensor, of which the values were not read."""

    shape: tuple[int, ...]


class IdleUnpickler(pickle._Unpickler):
    """Reads the pickle of a checkpoint. Python's own, not the one in C, which takes a gigabyte for
    a number that a file gives."""

    stack: list[Any]

    def __init__(self, stream: io.BytesIO, sizes: dict[str, int] | None = None) -> None:
        """
        Args:
            sizes: of a zip archive, the bytes of each storage by its key.
        """
        super().__init__(stream, encoding="utf-8")
        self.sizes = sizes
        self.foreign: dict[str, type[Foreign]] = {}
        self.total = 0
        """Bytes of all tensors as float32."""
        self.needed: dict[str, int] = {}
        """Bytes of each storage, by its key."""

    def find_class(self, module: str, name: str) -> Any:
        # As Python 2 wrote it.
        module = IMPORT_MAPPING.get(module, module)
        full = ".".join(NAME_MAPPING.get((module, name), (module, name)))
        if full == "collections.OrderedDict":
            return _ordered
        if full in _REBUILT:
            return lambda *args: self._tensor(*args)
        if full == "torch._utils._rebuild_parameter":
            return _first
        if full == "torch._tensor._rebuild_from_type_v2":
            return _of_type
        return self.foreign.setdefault(full, type("Foreign", (Foreign,), {"name": full}))

    def persistent_load(self, pid: Any) -> tuple[int, Foreign]:
        """The values' number, of what torch calls a storage."""
        kind, storage, key, _, numel, *_ = pid
        if kind != "storage" or not isinstance(numel, int) or numel < 0:
            raise ValueError("a tensor without values")
        size = numel * _BYTES.get(getattr(storage, "name", "").rpartition(".")[2], 1)
        if self.sizes is not None and self.sizes.get(key, -1) < size:
            raise ValueError(f"the values of a tensor are cut off or lacking ({key})")
        self.needed[key] = size
        return numel, storage

    def _tensor(
        self, storage: Any, offset: int, size: Any, stride: Any, *_: object
    ) -> StoredTensor:
        numel, kind = storage
        ends = [(n - 1) * step for n, step in zip(size, stride, strict=True)]
        within = 0 in size or offset + sum(ends) < numel or kind.name.endswith("UntypedStorage")
        if min((offset, *size, *stride)) < 0 or not within:
            raise ValueError("a tensor reaches beyond its values")
        self.total += 4 * prod(size)
        return StoredTensor(tuple(size))


def _first(tensor: object, *_: object) -> object:
    return tensor


def _of_type(
    rebuild: Callable[..., object], _: object, args: tuple[object, ...], *__: object
) -> object:
    return rebuild(*args)


def _ordered(items: Any = ()) -> OrderedDict[object, object]:
    _refuse_deep(key for key, _ in items)
    return OrderedDict(items)


def _refuse_deep(keys: Any) -> None:
    """A tuple of tuples of tuples ... takes no bytes and, as a key, for ever to be hashed."""
    for key in keys:
        if isinstance(key, tuple) and any(isinstance(part, tuple) for part in key):
            raise ValueError("a key is a tuple of tuples")


def _checked(code: bytes, keys: slice) -> Callable[[Any], None]:
    """An operation of the unpickler that makes keys of what lies on its stack."""
    load = pickle._Unpickler.dispatch[code[0]]

    def run(reader: Any) -> None:
        _refuse_deep(reader.stack[keys])
        load(reader)

    return run


_EACH_SECOND, _ALL = slice(None, None, 2), slice(None)
IdleUnpickler.dispatch = {
    **pickle._Unpickler.dispatch,
    pickle.SETITEM[0]: _checked(pickle.SETITEM, slice(-2, -1)),
    pickle.SETITEMS[0]: _checked(pickle.SETITEMS, _EACH_SECOND),
    pickle.DICT[0]: _checked(pickle.DICT, _EACH_SECOND),
    pickle.ADDITEMS[0]: _checked(pickle.ADDITEMS, _ALL),
    pickle.FROZENSET[0]: _checked(pickle.FROZENSET, _ALL),
}

_REBUILT = {f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3")}
_SYSTEM = {
    "os",
    "posix",
    "nt",
    "sys",
    "subprocess",
    "shutil",
    "socket",
    "runpy",
    "importlib",
    "pty",
}
_CODE = {f"builtins.{name}" for name in ("eval", "exec", "compile", "open", "__import__")}
_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8,
    "IntStorage": 4, "ShortStorage": 2, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
"""A value of each kind of storage; 1 of any other."""


def runs_code(name: str) -> bool:
    """Whether no checkpoint has an honest use for what it names."""
    return name.partition(".")[0] in _SYSTEM or name in _CODE
