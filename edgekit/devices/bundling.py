"""Make a bundle: of what a build left, or of any model file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Artifact, Store, sha256_of
from edgekit.devices.bundle import Bundle, Info, opened, write_bundle
from edgekit.devices.protocol import SLICE, Protocol
from edgekit.devices.report import Subject
from edgekit.errors import EdgekitError, InputError
from edgekit.images import decode_folder, spread
from edgekit.measure import Candidate, measure
from edgekit.models import Card
from edgekit.originals import MANIFEST, REPORT, Asked, built, input_form
from edgekit.plugins import find_runtimes
from edgekit.runtimes.base import InputForm, Runtime
from edgekit.target import machine_of
from edgekit.validate import RESULT

BROUGHT = (MANIFEST, "labels.txt", "classify.py")
RANDOM_IMAGES = 16


@dataclass(frozen=True)
class Wanted:
    """What the command line says beside the file."""

    protocol: Protocol
    threads: int | None = None
    """Instead of the target's; 4 where there is no target."""
    images: Path | None = None
    """A folder of images, for a file from elsewhere."""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


@contextmanager
def bundle_of(path: Path, store: Store, wanted: Wanted) -> Iterator[Bundle]:
    """The bundle of a variant's folder, of a target's folder (its choice), of a model file; or the
    bundle that a folder or a tar is.

    Raises:
        InputError: it is none of these, or something is missing, with what mends it.
    """
    if (path / "bundle.json").exists() or path.suffix == ".tar":
        with opened(path) as bundle:
            yield bundle
        return
    with TemporaryDirectory(prefix="edgekit-") as folder:
        yield make_bundle(path, store, wanted, Path(folder))


def make_bundle(path: Path, store: Store, wanted: Wanted, into: Path) -> Bundle:
    """Make one in an empty folder. See `bundle_of`."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    variant = variant_of(path)
    if variant:
        return _from_build(variant, store, wanted, into)
    if path.is_dir():
        raise InputError(
            f"{path} is no folder of a build",
            hint="name build/<recipe>/<target>, one of its variants, a bundle or a model file",
        )
    return _from_file(path, wanted, into)


def variant_of(path: Path) -> Path | None:
    """The variant's folder that is meant; None for a file from elsewhere."""
    folder = path.parent if path.is_file() else path
    if not (folder / MANIFEST).exists():
        return None
    manifest = json.loads((folder / MANIFEST).read_text())
    if "artifacts" not in manifest:
        return folder
    if path.is_file():
        return None
    if not manifest["choice"]:
        raise InputError(f"{path}: none of its variants is the choice; name one of its folders")
    return folder / str(manifest["choice"])


def _from_build(folder: Path, store: Store, wanted: Wanted, into: Path) -> Bundle:
    artifact, _ = built(folder, store)
    manifest = json.loads((folder / MANIFEST).read_text())
    report = json.loads((folder.parent / REPORT).read_text())
    runtime: Runtime = find_runtimes()[manifest["runtime"]]()
    images, labels, scores = _slice(artifact, report, store)
    card = Card.model_validate(artifact.metadata["card"])
    names = [*manifest["files"], *(n for n in BROUGHT if (folder / n).exists())]
    info = Info(
        name=report["recipe"],
        target=report["target"],
        machine=machine_of(report["isa"]),
        cpu=report["cpu"],
        threads=wanted.threads or report["threads"],
        runtime=runtime.name,
        form=InputForm.model_validate(artifact.metadata["form"]),
        subject=subject_of(
            folder / runtime.file, runtime, manifest["precision"], card, manifest["lineage"]
        ),
        classes=card.classes,
        images=len(images),
        labelled=True,
        input_source=f"{len(images)} images of the {report['data']['evaluated_on']} split, spread "
        "over its classes",
        input_sha256=hashlib.sha256(images.tobytes()).hexdigest(),
        protocol=wanted.protocol.at(wanted.threads or report["threads"]),
    )
    copied = {name: folder / name for name in names}
    return write_bundle(into, info, copied, images, labels, scores)


def _slice(
    artifact: Artifact, report: dict[str, Any], store: Store
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Labelled images of the split the build was judged on, and the host's scores of this file."""
    for step in report["steps"]:
        validation = store.get(step["digest"])
        if not validation or RESULT not in validation.files:
            continue
        if artifact.digest not in validation.parents:
            continue
        parents = [store.get(digest) for digest in validation.parents]
        source = next((p for p in parents if p and "labels.npy" in p.files), None)
        if source is None:
            break
        images = np.load(source.file("images.npy"), mmap_mode="r")
        chosen = spread(len(images), SLICE)
        labels = np.load(source.file("labels.npy"))[chosen]
        scores = np.load(validation.file("scores.npy"))[chosen]
        return np.array(images[chosen]), labels, scores
    raise InputError(
        f"the store {store.root} has not kept the images this model was judged by",
        hint="build it again: `edgekit build RECIPE --target TARGET`, with the same --store",
    )


def subject_of(
    path: Path,
    runtime: Runtime,
    precision: str | None,
    card: Card | None,
    lineage: list[dict[str, Any]] | None,
) -> Subject:
    """A model file as a report names it.

    Args:
        precision, card, lineage: None for a file from elsewhere; then its operators tell.
    """
    operators = runtime.describe(path).operators
    precisions: dict[str, int] = {}
    for operator in operators:
        precisions[operator.precision] = precisions.get(operator.precision, 0) + 1
    integer = any(operator.heavy and operator.is_integer for operator in operators)
    return Subject(
        file=path.name,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        format=runtime.name,
        precision=precision or ("int8" if integer else "float32"),
        operators=dict(sorted(precisions.items())),
        macs=card.macs if card else sum(o.macs for o in operators) or None,
        parameters=card.parameters if card else None,
        lineage=lineage,
    )


def _from_file(path: Path, wanted: Wanted, into: Path) -> Bundle:
    """A model file from elsewhere: held against this machine's scores of it."""
    runtimes = [r() for r in find_runtimes().values() if Path(r.file).suffix == path.suffix]
    if not runtimes:
        known = ", ".join(sorted(Path(r.file).suffix for r in find_runtimes().values()))
        raise InputError(f"{path} is no model file that is known: {known}")
    runtime = runtimes[0]
    try:
        description = runtime.describe(path)
    except EdgekitError as error:
        raise InputError(error.message, hint=error.hint) from error
    shape = description.input.shape
    if len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
        raise InputError(
            f"{path} takes {shape}; one square RGB image, [1, size, size, 3], expected",
            hint="export it with channels last",
        )
    form = input_form(path, description.input.dtype, Asked(mean=wanted.mean, std=wanted.std))
    images, source = _images(shape[1], wanted)
    np.save(into / "images.npy", images)
    candidate = Candidate("model", runtime.name, path, form)
    outcome = measure(
        [candidate], into / "images.npy", lambda *_: None, score=("model",), latency=False
    )
    (into / "images.npy").unlink()
    info = Info(
        name=path.stem,
        target=None,
        machine=None,
        cpu=None,
        threads=wanted.threads or 4,
        runtime=runtime.name,
        form=form,
        subject=subject_of(path, runtime, None, None, None),
        classes=(),
        images=len(images),
        labelled=False,
        input_source=source,
        input_sha256=hashlib.sha256(images.tobytes()).hexdigest(),
        protocol=wanted.protocol.at(wanted.threads or 4),
    )
    beside = [path.with_suffix(Path(name).suffix) for name in runtime.companions]
    copied = {file.name: file for file in (path, *beside)}
    return write_bundle(into, info, copied, images, None, outcome.scores["model"])


def _images(size: int, wanted: Wanted) -> tuple[NDArray[np.uint8], str]:
    """The user's, else random ones: enough to time a model and to compare its scores."""
    if wanted.images:
        images = decode_folder(wanted.images, size, 1.0, SLICE)
        return images, f"{len(images)} images of a folder of the user's"
    random = np.random.default_rng(0).integers(0, 256, (RANDOM_IMAGES, size, size, 3), np.uint8)
    return random, f"{RANDOM_IMAGES} random images, seed 0"
