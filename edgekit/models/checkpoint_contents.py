"""What a checkpoint holds, told without torch: its containers, and of each tensor the shape.

Nothing of the file runs. What torch or safetensors would take too much memory for, or never come to
an end of, is refused here, before they see the file.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import WeightsError
from edgekit.models.idle_unpickler import Foreign, IdleUnpickler, StoredTensor

MAX_PICKLE = 16 * 2**20
"""Bytes of a checkpoint's pickle, which holds all but the tensors' values."""
MAX_GROWTH, FREE_BYTES = 16, 64 * 2**20
"""How many times its file a checkpoint may take in memory, beyond the first bytes. Tied weights and
eight-bit floats make a few times, a tensor of stride 0 or packed zeros any number."""
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of torch before 1.6 begins: its magic number, pickled."""
SIGNATURES = {
    b"\x89HDF": "an HDF5 file, as Keras writes them",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"version https://git-lfs": "a pointer of Git LFS and not the file itself: git lfs pull",
    b"<": "a web page or XML: the download went wrong",
    b"\x08": "an ONNX file, or something else",
}
_SYSTEM = {
    "os", "posix", "nt", "sys", "subprocess", "shutil", "socket", "runpy", "importlib", "pty",
}  # fmt: skip
_CODE = {f"builtins.{name}" for name in ("eval", "exec", "compile", "open", "__import__")}
SAVE_WEIGHTS = (
    "in the program that makes the model, save its weights alone:\n"
    "  import torch\n"
    '  torch.save(model.state_dict(), "weights.pth")\n'
    "and give model.weights: weights.pth"
)
SAVE_TORCHSCRIPT = (
    "save its weights alone, and give model.weights: weights.pth\n"
    "  import torch\n"
    "  model = torch.jit.load({path!r})\n"
    '  torch.save(model.state_dict(), "weights.pth")'
)


@dataclass(frozen=True)
class Contents:
    """What a file holds."""

    content: Any
    """Containers with tensors: of `StoredTensor`, or of torch's."""
    foreign: tuple[type[Foreign], ...] = ()
    """What stands for each class and function that the file names."""


def look_into(path: Path) -> Contents:
    """What a checkpoint holds.

    Raises:
        WeightsError: it is no checkpoint, cut off, or takes far more memory than its file.
    """
    try:
        if is_safetensors(path):
            return Contents(_safetensors(path))
        with path.open("rb") as stream:
            head = stream.read(len(LEGACY))
            if head == LEGACY:
                return _legacy(stream.read(MAX_PICKLE), path)
        if head.startswith(b"PK\x03\x04"):
            return _zipped(path)
        raise WeightsError(
            f"{path} is not a checkpoint, but {_kind_of(path)}",
            hint="give a file that torch.save or safetensors wrote",
        )
    except WeightsError:
        raise
    except _FAULTS as error:
        raise unreadable(path, error) from error


_FAULTS = (
    pickle.UnpicklingError, zipfile.BadZipFile, EOFError, OSError, ValueError, KeyError, IndexError,
    TypeError, AttributeError, ArithmeticError, RuntimeError, struct.error, MemoryError,
    NotImplementedError,
)  # fmt: skip
"""What a damaged file makes a reader raise: a pickle is a program, and this one went astray."""


def unreadable(path: Path, error: Exception) -> WeightsError:
    """Never with the words of torch, which advises to read the file in the unsafe way."""
    told = str(error).strip().partition("\n")[0]
    if "weights_only" in told or not told:
        told = type(error).__name__
    return WeightsError(
        f"{path} is not a readable checkpoint: {told[:200]}",
        hint="is it whole? compare its size with the original's, or save it again",
    )


def is_safetensors(path: Path) -> bool:
    """By its first bytes, whatever its name."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return len(head) == 9 and head[8:] == b"{" and head[4:8] == bytes(4)


_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
"""torch's names of safetensors' types."""


def _safetensors(path: Path) -> dict[str, StoredTensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            slices = {name: stream.get_slice(name) for name in stream.keys()}  # noqa: SIM118
            return {
                name: StoredTensor(
                    tuple(part.get_shape()), _DTYPES.get(part.get_dtype(), part.get_dtype())
                )
                for name, part in slices.items()
            }
    except SafetensorError as error:
        raise unreadable(path, error) from error


def _kind_of(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(512)
    if head[257:262] == b"ustar":
        return "a tar archive, as torch wrote them before 0.2: load it there, and save it again"
    if not head.strip(b"\0"):
        return "empty" if not head else "nothing but zeros"
    if head[:1] == b"\x80":
        return "a pickle that torch.save did not write"
    found = [what for start, what in SIGNATURES.items() if head.lstrip().startswith(start)]
    return found[0] if found else "something else, or cut off at its end"


def _zipped(path: Path) -> Contents:
    with zipfile.ZipFile(path) as archive:
        entries = _entries(archive)
        _refuse_growth(sum(e.file_size for e in entries.values()), path)
        root = _root(entries, path)
        pickled = f"{root}data.pkl"
        if entries[pickled].file_size > MAX_PICKLE:
            raise _too_many_objects(path)
        sizes = {n.removeprefix(f"{root}data/"): e.file_size for n, e in entries.items()}
        reader = IdleUnpickler(io.BytesIO(archive.read(pickled)), sizes)
        return _whole(reader, reader.load(), path)


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) < len(archive.infolist()):
        raise ValueError("two parts of it have one name")
    return entries


def _root(names: Collection[str], path: Path) -> str:
    """The folder of an archive in which torch.save wrote all."""
    roots = [
        name.removesuffix("data.pkl")
        for name in names
        if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    root = roots[0] if roots else ""
    if any(name.startswith(f"{root}code/") or name == f"{root}constants.pkl" for name in names):
        raise WeightsError(
            f"{path} is a TorchScript archive, a program and not weights alone",
            hint=SAVE_TORCHSCRIPT.format(path=str(path)),
        )
    if len(roots) != 1:
        raise WeightsError(
            f"{path} is a zip archive but not a checkpoint: it holds "
            f"{', '.join(list(names)[:3]) or 'nothing'}",
            hint=SAVE_WEIGHTS,
        )
    return root


def _legacy(head: bytes, path: Path) -> Contents:
    """Of torch before 1.6: pickles in a row. The third is the content, the fourth the keys of its
    storages."""
    stream = io.BytesIO(head)
    try:
        IdleUnpickler(stream).load()  # the version of the protocol
        IdleUnpickler(stream).load()  # of the machine that wrote it
        reader = IdleUnpickler(stream)
        content = reader.load()
        keys = IdleUnpickler(stream).load()
    except EOFError as error:
        raise (_too_many_objects(path) if len(head) == MAX_PICKLE else error) from error
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise ValueError("the names of its tensors' values are damaged")
    left = path.stat().st_size - len(LEGACY) - stream.tell()
    if sum(reader.needed.values()) > left:
        raise unreadable(path, EOFError("it is cut off"))
    return _whole(reader, content, path)


def _whole(reader: IdleUnpickler, content: object, path: Path) -> Contents:
    _refuse_growth(reader.total, path)
    run = sorted(name for name in reader.foreign if _runs_code(name))
    if run:
        raise WeightsError(
            f"{path} calls {', '.join(run)}: a checkpoint that does could run any code",
            hint="do not load it anywhere; get the weights from a source that you trust",
        )
    return Contents(content, tuple(reader.foreign.values()))


def _runs_code(name: str) -> bool:
    """Whether no checkpoint has an honest use for what it names."""
    return name.partition(".")[0] in _SYSTEM or name in _CODE


def _too_many_objects(path: Path) -> WeightsError:
    return WeightsError(
        f"{path} holds more than {MAX_PICKLE >> 20} MB of objects beside its tensors",
        hint=SAVE_WEIGHTS,
    )


def _refuse_growth(size: int, path: Path) -> None:
    own = path.stat().st_size
    if size > MAX_GROWTH * own + FREE_BYTES:
        raise WeightsError(
            f"{path} holds tensors of {size / 1e9:.1f} GB in a file of {own / 1e6:.1f} MB: "
            "expanded or packed ones, which weights are not",
            hint=SAVE_WEIGHTS,
        )
