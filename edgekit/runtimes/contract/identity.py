"""What every contract of a runtime rests on: who it is, and the files it writes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class Identity:
    """A runtime's name and version, its libraries and its files."""

    version: ClassVar[int] = 1
    """Raise it whenever the same input would give another file."""
    name: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    """Distributions whose versions change what compile, quantize and bake give."""
    file: ClassVar[str]
    """The model's file name, e.g. model.onnx."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Files that must lie beside `file`, e.g. its weights."""

    @classmethod
    def files(cls) -> tuple[str, ...]:
        """`file`, and its companions."""
        return (cls.file, *cls.companions)

    @classmethod
    def beside(cls, path: Path) -> list[Path]:
        """What must lie beside a model file of any name."""
        return [path.with_suffix(Path(name).suffix) for name in cls.companions]
