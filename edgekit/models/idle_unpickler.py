"""Python's unpickler, for files of torch's, in which nothing runs: each class and function that the
file names is a `Foreign` that does nothing, and of a tensor the shape alone is read."""

from __future__ import annotations

import io
import pickle
import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from edgekit.models.pickle_operations import OPERATIONS, refuse_deep

_DTYPES = {
    f"torch.{storage}Storage": dtype
    for storage, dtype in {
        "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Double": "float64",
        "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
        "Bool": "bool",
    }.items()
}  # fmt: skip
"""By the class of its values, as a checkpoint names it."""


class Foreign:
    """Stands for an object of any class that is neither a tensor nor a container."""

    name = ""
    """The class or function that the file names."""
    attributes: object = None
    """Of arguments of a training, what the file fills them with."""

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
    dtype: str = ""
    """Of its numbers, as torch names it; empty where that is not read."""


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
        self.stream = stream
        self.sizes = sizes
        self.foreign: dict[str, type[Foreign]] = {}
        self.total = 0
        """Bytes of all tensors as float32."""
        self.needed: dict[str, int] = {}
        """Bytes of each storage, by its key."""
        self.containers = 0
        """Those that take a byte or two of the file each, and 56 to 216 of memory."""
        self.copied = 0
        """Parts of all that was given to what copies it."""

    def find_class(self, module: str, name: str) -> Any:
        # As Python 2 wrote it.
        module = IMPORT_MAPPING.get(module, module)
        full = ".".join(NAME_MAPPING.get((module, name), (module, name)))
        if full == "collections.OrderedDict":
            return lambda items=(): self._ordered(items)
        if full in _REBUILT:
            return lambda *args: self._tensor(*args)
        if full == "torch._utils._rebuild_parameter":
            return _first
        if full == "torch._tensor._rebuild_from_type_v2":
            return lambda *args: self._of_type(*args)
        if full not in self.foreign:
            if len(self.foreign) == MAX_NAMES:
                raise ValueError(f"it names more than {MAX_NAMES} classes and functions")
            self.foreign[full] = type("Foreign", (Foreign,), {"name": full, **self._made(full)})
        return self.foreign[full]

    def _made(self, name: str) -> dict[str, Any]:
        """How a stand-in is made, where torch runs what it stands for."""
        if _TAKES_MEMORY.fullmatch(name):
            return {"__new__": _refused}
        if name == "_codecs.encode":
            return {"__new__": lambda _, *args: self._encoded(*args)}
        if name == "torch._utils._rebuild_qtensor":
            return {"__new__": lambda cls, *args: self._tensor(*args) and Foreign.__new__(cls)}
        if name == _DEVICE_TENSOR:
            return {"__new__": lambda _, *args: self._on_device(*args)}
        if name == "argparse.Namespace":
            return {"__setstate__": _keep}
        if name in _COPIES:
            return {"__new__": lambda cls, *args: self._copy(cls, *args)}
        return {}

    def _copy(self, cls: type[Foreign], *args: object) -> Foreign:
        if cls.name in _STATEFUL:
            self.count(args[-1])
            return Foreign.__new__(cls)
        for arg in args:
            if cls.name in _HASHES and isinstance(arg, list | tuple):
                refuse_deep(arg)
            self.count(arg)
        return Foreign.__new__(cls)

    def count(self, given: object) -> None:
        """
        Raises:
            ValueError: what copies it would take memory for more than the file holds, as with a
                length, or with one list that is given again and again.
        """
        # A state is a tuple of two dicts where the class has slots.
        parts = given if isinstance(given, tuple) else ()
        self.copied += sum(len(p) for p in (given, *parts) if isinstance(p, _CONTAINERS))
        known = given is None or isinstance(given, _CONTAINERS)
        if not known or self.copied > self.stream.tell():
            raise ValueError("it takes memory for more than it holds")

    def _encoded(self, text: Any, encoding: object = None) -> bytes:
        """Bytes, as the protocols before 3 write them."""
        if encoding not in ("latin1", "latin-1"):
            raise ValueError("text in an encoding that pickles have no use for")
        self.count(text)
        return bytes(text, "latin-1")

    def _on_device(self, tensor: Any, *_: object) -> StoredTensor:
        """A copy, of at most 16 bytes a value."""
        self.total += 16 * prod(tensor.shape)
        return StoredTensor(tensor.shape, tensor.dtype)

    def _of_type(
        self, rebuild: Callable[..., object], _: object, args: tuple[object, ...], state: object
    ) -> object:
        self.count(state)
        return rebuild(*args)

    def _ordered(self, items: Any) -> OrderedDict[object, object]:
        self.count(items)
        refuse_deep(key for key, _ in items)
        return OrderedDict(items)

    def refuse_build(self, made: object, state: Any) -> None:
        """
        Raises:
            ValueError: it fills what is neither a stand-in nor an ordered dict; or torch would
                take memory for it.
        """
        name = getattr(made, "name", "") if isinstance(made, Foreign) else ""
        if (not name and type(made) is not OrderedDict) or name.startswith("torch._utils._rebuild"):
            raise ValueError(f"it fills a {type(made).__name__} with attributes")
        if name == "torch.nn.parameter.Parameter" and len(state) == 4:
            raise ValueError("a tensor without values")
        if name in ("", "collections.Counter"):
            self.count(state)

    def persistent_load(self, pid: Any) -> tuple[int, Foreign]:
        """The values' number, of what torch calls a storage."""
        kind, storage, key, _, numel, *_ = pid
        if kind != "storage" or not _is_count(numel):
            raise ValueError("a tensor without values")
        size = numel * _BYTES.get(getattr(storage, "name", "").rpartition(".")[2], 1)
        if self.sizes is not None and self.sizes.get(key, -1) < size:
            raise ValueError(f"the values of a tensor are cut off or lacking ({key})")
        self.needed[key] = max(size, self.needed.get(key, 0))
        return numel, storage

    def _tensor(
        self, storage: Any, offset: int, size: Any, stride: Any, *_: object
    ) -> StoredTensor:
        numel, kind = storage
        if len(size) > MAX_SIDES or not all(map(_is_count, (offset, *size, *stride))):
            raise ValueError("a tensor whose shape no tensor has")
        ends = [(n - 1) * step for n, step in zip(size, stride, strict=True)]
        # Of an UntypedStorage the number is that of its bytes.
        if 0 not in size and offset + sum(ends) >= numel:
            raise ValueError("a tensor reaches beyond its values")
        self.total += 4 * prod(size)
        return StoredTensor(tuple(size), _DTYPES.get(getattr(kind, "name", ""), ""))


def _first(tensor: object, *_: object) -> object:
    return tensor


def _keep(made: Foreign, state: object) -> None:
    made.attributes = state


def _refused(cls: type[Foreign], *_: object) -> Foreign:
    raise ValueError(f"it makes a {cls.name} without values")


def _is_count(number: object) -> bool:
    """Whether it is a number that torch can hold; a file's may have millions of digits."""
    return isinstance(number, int) and number >= 0 and number.bit_length() <= 63


def _build(reader: Any) -> None:
    made, state = reader.stack[-2:]
    reader.refuse_build(made, state)
    if isinstance(made, Foreign):
        pickle._Unpickler.dispatch[pickle.BUILD[0]](reader)
    else:
        reader.stack.pop()  # attributes of an ordered dict, as `_metadata`


IdleUnpickler.dispatch = {**OPERATIONS, pickle.BUILD[0]: _build}

MAX_NAMES = 1000
"""Classes and functions that a pickle may name; training programs name tens."""
MAX_SIDES = 64
"""Of a tensor, as torch and numpy have them."""
_REBUILT = {f"torch._utils._rebuild_{kind}" for kind in ("tensor", "tensor_v2", "tensor_v3")}
_DEVICE_TENSOR = "torch._utils._rebuild_device_tensor_from_cpu_tensor"
_TAKES_MEMORY = re.compile(
    r"torch\.(\w+\.)?(sparse\.)?\w*Tensor|torch\.(storage\.)?(Unt|T)ypedStorage"
)
"""What torch makes of a mere length. Its other storages are no more than names."""
_HASHES = {"builtins.set", "collections.Counter"}
_STATEFUL = {"torch._utils._rebuild_parameter_with_state"}
_COPIES = {*_HASHES, *_STATEFUL, "builtins.bytearray", "torch.Size"}
"""What torch runs, and what takes memory for what it is given."""
_CONTAINERS = (str, bytes, list, tuple, dict)
_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8,
    "IntStorage": 4, "ShortStorage": 2, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
"""A value of each kind of storage; 1 of any other."""
