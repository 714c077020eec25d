"""A runtime: what a plug-in subclasses, and what some runtimes can do besides.

Every compiled model takes one NHWC image, [1, height, width, 3], and returns scores of shape
[1, classes] as float32, so that code on the device is the same for every runtime. Until `bake`
the input is float32, already normalised; afterwards it is raw uint8 RGB.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from edgekit.errors import EdgekitError, Unsupported, storage_errors
from edgekit.runtimes.contract.compiler import Compiler
from edgekit.runtimes.contract.identity import Identity
from edgekit.runtimes.contract.microbenchmark import Microbenchmark
from edgekit.runtimes.contract.operator_times import OperatorTimes
from edgekit.runtimes.contract.reader import Reader


class Runtime(Compiler, Reader, Microbenchmark):
    """One runtime. Heavy libraries are imported inside the methods."""

    extra: ClassVar[str]
    """Of edgekit's own: what installs its libraries."""
    engine: ClassVar[str]
    """The distribution that runs the model on the device."""
    engine_modules: ClassVar[Mapping[str, str]]
    """The module to import, by each distribution that can run the model on a device: `engine`
    first, the next one where no wheel of that fits."""
    set_up_unasked: ClassVar[bool] = True
    """`device setup` and `calibrate` take it where no runtime is named."""
    saturates: ClassVar[bool] = False
    """Its int8 sums of 8-bit weights saturate where `sums_saturate` says so."""
    devices: ClassVar[tuple[str, ...]] = ("CPU",)
    """What it can run on, in a target's words."""
    gains_from: ClassVar[tuple[str, ...]] = ()
    """Patterns of zeros in the weights, as `sparsify` names them, that it was measured to be faster
    with (tests/benchmarks/sparsity.py)."""

    def for_target(self, device: str, isa: str | None) -> Runtime:
        """The runtime as it makes files for a target: what it runs on, and its instruction set as
        the target names it."""
        return self

    @classmethod
    def float_precision(cls) -> str | None:
        """What its library computes float models in on this machine unless told, in its own word;
        None where it is not asked.

        Raises:
            Exception: of any kind, where the library is broken.
        """
        return None

    @property
    def weight_bits(self) -> int:
        """Of the int8 weights that it makes; with 7 no sum saturates."""
        return 8

    @classmethod
    def device_for(cls, device: str) -> str:
        """A target's device if the runtime can run on it; else the CPU, on which all run."""
        return device if device in cls.devices else "CPU"


class TakesOver(Runtime):
    """A runtime that can run the int8 files of others as well."""

    takes_over_from: ClassVar[tuple[str, ...]]
    """Their names."""

    @abstractmethod
    def take_over(self, source: Path, into: Path) -> None:
        """Make `into / self.file` of another runtime's int8 file, before it is baked."""


class TimesOperators(Runtime):
    """A runtime that can tell how long each operator of a file takes."""

    @abstractmethod
    def operator_times(self, path: Path, seconds: float) -> OperatorTimes:
        """Time the operators that `describe` lists, on the CPU of this machine with one thread.

        Args:
            seconds: to spend on it at most, beside loading; more where a run takes long.

        Raises:
            EdgekitError: the file cannot be loaded or run, or an operator not by itself.
        """


class CompilesAhead(Runtime):
    """A runtime that can compile for a device before the file gets there."""

    blob: ClassVar[str]
    """The name of the file that `precompile` writes."""

    @abstractmethod
    def precompile(self, path: Path, device: str, into: Path) -> dict[str, str]:
        """Compile a shipped file for a device of this machine, to `into / self.blob`.

        Returns:
            the device's name and the versions of its driver and compiler, which the blob is tied
            to.

        Raises:
            DeviceError: the device does not take the file.
        """


@contextmanager
def library_errors(runtime: Identity, step: str, into: Path) -> Iterator[None]:
    """What a runtime's library raises, in whatever way, is that this model cannot be built for it:
    it ends one variant, and the other variants and targets go on.

    Raises:
        Unsupported: for any exception but edgekit's own and those of storage and memory.
    """
    try:
        with storage_errors(into):
            yield
    except (EdgekitError, OSError, MemoryError):
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise Unsupported(
            f"{runtime.name} cannot {step} this model: {type(error).__name__}: {first}",
            hint="--debug shows where its library stopped; another architecture or runtime may do",
        ) from error
