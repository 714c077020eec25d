"""What `edgekit inspect` compares: a compressed file, the float file it was made from, and images.

A build's folder says which artifact of the store its file is; from there the parents lead back to
the compiled float model, and to the images that the ranges were calibrated on.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.build_folder.reading import IMAGES, artifact_of, of_a_build, with_store
from edgekit.data.framing import Framing
from edgekit.data.image_folder import decode_folder
from edgekit.data.images import ImagesMetadata, spread
from edgekit.data.size import Size
from edgekit.engine.artifact import Artifact
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError, InputError
from edgekit.inspection.summary import is_keras
from edgekit.models.source import Triple
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.runtimes.contract.description import Port
from edgekit.runtimes.contract.input_form import InputForm, pixels_of
from edgekit.runtimes.contract.named_file import describe_named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESCALES = {"equalise", "smooth"}
"""The corrections that change how large a channel is."""


@dataclass(frozen=True)
class Pair:
    """A compressed file and its float original, for one runtime."""

    runtime: Runtime
    float_path: Path
    float_form: InputForm
    path: Path
    form: InputForm
    images: NDArray[np.uint8]
    """uint8 (images, height, width, 3)."""
    images_from: str
    """Where they are from, for a person to read."""
    rescaled: bool = False
    """Channels of the float model were made larger or smaller before it was quantised."""
    is_built: bool = True
    """False for files from elsewhere: no recipe made them."""


@dataclass(frozen=True)
class InspectOptions:
    """What the command line names beside the file."""

    float_file: Path | None = None
    images: Path | None = None
    samples: int = 32
    mean: Triple | None = None
    std: Triple | None = None

    @property
    def compares_nothing(self) -> bool:
        return not any((self.float_file, self.images, self.mean, self.std))


def locate(path: Path, store: Store, options: InspectOptions) -> Pair:
    """Find what a compressed file is to be compared with.

    Args:
        path: a variant's folder in a build's output, also that of a variant that broke a gate and
            so has none; its model file; or, with `options.float_file`, any model file.

    Raises:
        InputError: something is missing, with the command that fixes it.
    """
    if options.float_file is not None:
        return _from_files(path, options.float_file, options)
    if path.suffix in _suffixes() and not of_a_build(path):
        if not path.exists():
            raise InputError(f"{path}: no such file")
        raise _missing(path, options)
    last, published = artifact_of(path, store)
    line = list(_ancestors(last, store))
    original = _original(path, line, store)
    runtime = next(r() for r in find_runtimes().values() if r.file in original.files)
    # What took over another runtime's file is compared as that file, which has its float twin.
    compressed = next(a for a in line if runtime.file in a.files)
    shipped = published if compressed is last else None
    float_model = original.described_by(CompiledMetadata)
    card = float_model.card
    images, source = _images(line, card.framing, path, options)
    return Pair(
        runtime=runtime,
        float_path=original.file(runtime.file),
        float_form=float_model.form,
        path=shipped or compressed.file(runtime.file),
        form=compressed.described_by(CompiledMetadata).form,
        images=images,
        images_from=source,
        rescaled=bool(RESCALES & {*_corrections(compressed)}),
    )


def is_alone(path: Path, options: InspectOptions) -> bool:
    """Whether it is a model file of no build, and nothing is named to compare it with."""
    is_model = path.suffix in _suffixes() or is_keras(path)
    return path.is_file() and is_model and not of_a_build(path) and options.compares_nothing


def runtime_of(path: Path) -> Runtime | None:
    """Whose file it is; None of a Keras file, which is nobody's."""
    return None if is_keras(path) else _suffixes()[path.suffix]()


def _original(path: Path, line: list[Artifact], store: Store) -> Artifact:
    """The float model at the end of a line of ancestors."""
    original = next((a for a in line if _precision(a) == "float32"), None)
    if original is None:
        raise InputError(
            f"the float model that {path} was made from is not in the store {store.root}",
            hint=f"{with_store(path.parent if path.is_file() else path, store)}; or name the "
            "file with --float",
        )
    if original is line[0]:
        raise InputError(
            f"{path} is a float file: there is nothing to compare it with",
            hint="name the folder of a compressed variant",
        )
    return original


def _corrections(compressed: Artifact) -> list[str]:
    quantization = compressed.described_by(CompiledMetadata).quantization
    return [*quantization.corrections] if quantization else []


def _precision(artifact: Artifact) -> str | None:
    """Of a compiled model; None for what is none."""
    if not artifact.is_described_by(CompiledMetadata):
        return None
    return artifact.described_by(CompiledMetadata).precision


def _is_calibration(artifact: Artifact) -> bool:
    if IMAGES not in artifact.files:
        return False
    return artifact.described_by(ImagesMetadata).split == "calibration"


def _ancestors(artifact: Artifact, store: Store) -> Iterator[Artifact]:
    """An artifact and those it was made from, the nearest first, as far as they are stored."""
    waiting, seen = [artifact], {artifact.digest}
    while waiting:
        here = waiting.pop(0)
        yield here
        for digest in here.parents:
            parent = store.get(digest) if digest not in seen else None
            seen.add(digest)
            waiting += [parent] if parent else []


def _images(
    line: list[Artifact], framing: Framing, path: Path, options: InspectOptions
) -> tuple[NDArray[np.uint8], str]:
    """The images asked for, or some of those that the file was calibrated on."""
    import numpy as np

    if options.images is not None:
        return decode_folder(options.images, framing, options.samples), str(options.images)
    kept = next(filter(_is_calibration, line), None)
    if kept is None:
        raise InputError(
            f"no calibration images of {path} are in the store",
            hint="name a folder of training images with --images",
        )
    images = np.load(kept.file(IMAGES), mmap_mode="r")
    chosen = spread(len(images), options.samples)
    return np.array(images[chosen]), "the images it was calibrated on"


def _from_files(path: Path, original: Path, options: InspectOptions) -> Pair:
    """Two files from anywhere."""
    for file in (path, original):
        if not file.is_file():
            raise InputError(f"{file} is no file", hint="give two model files of one runtime")
    if path.suffix not in _suffixes() or original.suffix != path.suffix:
        raise InputError(
            f"{path.name} and {original.name} are not two files of one runtime",
            hint=f"known are {', '.join(sorted(_suffixes()))}",
        )
    runtime = _suffixes()[path.suffix]()
    ports = _inputs(runtime, original, path)
    is_float = any(port.dtype == "float32" for port in ports)
    if options.images is None or (is_float and None in (options.mean, options.std)):
        raise _missing(path, options, is_float)
    forms = [
        input_form(file, port.dtype, options)
        for file, port in zip((original, path), ports, strict=True)
    ]
    size = _size(original, ports[0].shape)
    _size(path, ports[1].shape)
    return Pair(
        runtime=runtime,
        float_path=original,
        float_form=forms[0],
        path=path,
        form=forms[1],
        images=decode_folder(options.images, Framing(size), options.samples),
        images_from=str(options.images),
        is_built=False,
    )


def _suffixes() -> dict[str, type[Runtime]]:
    """The runtimes by the suffix of their files."""
    return {Path(runtime.file).suffix: runtime for runtime in find_runtimes().values()}


def _inputs(runtime: Runtime, *files: Path) -> list[Port]:
    try:
        return [found.input for found in describe_named(runtime, *files)]
    except EdgekitError as error:
        raise InputError(error.message, hint=error.hint) from error


def _missing(path: Path, options: InspectOptions, is_float: bool = True) -> InputError:
    """What a file of no build has to be told with: all of it, and as a command.

    Args:
        is_float: one of the two files takes floats.
    """
    given = {
        "--float": (options.float_file, f"FLOAT_FILE{path.suffix}"),
        "--images": (options.images, "FOLDER_OF_IMAGES"),
        "--mean": (options.mean, "0.485,0.456,0.406"),
        "--std": (options.std, "0.229,0.224,0.225"),
    }
    needed = [*given][: 4 if is_float else 2]
    lacking = [name for name in needed if given[name][0] is None]
    words = [shlex.quote(str(path))]
    for name in needed:
        value, example = given[name]
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
        words += [name, shlex.quote(str(shown)) if value is not None else example]
    numbers = " (with the mean and std of ImageNet, of pixels from 0 to 1)" if is_float else ""
    return InputError(
        f"{path} is of no build: what it is compared with has to be named: {', '.join(lacking)}",
        hint=f"for example{numbers}: edgekit inspect {' '.join(words)}",
    )


def _size(path: Path, shape: tuple[int, ...]) -> Size:
    """Of the images that a file takes, whose channels may come first or last.

    Raises:
        InputError: it leaves the size open.
    """
    height, width = pixels_of(shape)[:2] if len(shape) == 4 else (0, 0)
    if height <= 0 or width <= 0:
        raise InputError(
            f"{path} takes {shape}, which is no image of one size",
            hint="export it with a fixed height and width",
        )
    return Size(height, width)


def input_form(path: Path, dtype: str, options: InspectOptions) -> InputForm:
    """How a file from elsewhere is fed.

    Raises:
        InputError: it takes floats, and mean and standard deviation were not given.
    """
    if dtype == "uint8":
        return InputForm(dtype="uint8", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    if dtype != "float32":
        raise InputError(
            f"{path} takes {dtype}; uint8 or float32 expected",
            hint="export it with an input of uint8 (raw pixels) or float32",
        )
    if options.mean is None or options.std is None:
        raise InputError(
            f"{path} takes {dtype}, and how pixels become that is not known",
            hint="give --mean and --std, one number or three with commas, of pixels from 0 to 1",
        )
    return InputForm(dtype="float32", mean=options.mean, std=options.std)
