"""Make a bundle: of what a build left, or of any model file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.build_folder.manifest import TargetManifest
from edgekit.build_folder.pairs import Asked, input_form
from edgekit.build_folder.reading import (
    BUILD_AGAIN,
    MANIFEST,
    REPORT,
    artifact_of,
    published,
    read_manifest,
    read_report,
)
from edgekit.build_folder.report import Report
from edgekit.data.images import decode_folder, spread
from edgekit.devices.bundle.bundle import Bundle, Info, opened, write_bundle
from edgekit.devices.bundle.protocol import SLICE, Protocol
from edgekit.devices.bundle.subject import Subject
from edgekit.engine.artifact import Artifact, sha256_of
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError, InputError
from edgekit.evaluation.measure import Candidate, Ready, measure
from edgekit.evaluation.validate import RESULT
from edgekit.models.card import Card
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.description import Port
from edgekit.runtimes.contract.forms import InputForm
from edgekit.spec.target import machine_of

BUILD_FILES = (MANIFEST, "labels.txt", "classify.py")
RANDOM_INPUTS = 16
DEFAULT_PROTOCOL = Protocol()


@dataclass(frozen=True)
class BundleOptions:
    """What the command line says beside the file."""

    protocol: Protocol = DEFAULT_PROTOCOL
    threads: int | None = None
    """Instead of the target's; 1 where there is no target: 2 and 4 are measured beside it."""
    images: Path | None = None
    """A folder of images, for a file from elsewhere."""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


@contextmanager
def bundle_of(path: Path, store: Store, options: BundleOptions) -> Iterator[Bundle]:
    """The bundle of a variant's folder, of a target's folder (its choice), of a model file; or the
    bundle that a folder or a tar is.

    Raises:
        InputError: it is none of these, or something is missing, with what fixes it.
    """
    if (path / "bundle.json").exists() or path.suffix == ".tar":
        if options != BundleOptions():
            raise InputError(
                f"{path} is a bundle: what it is fed with and how it is measured was fixed when it "
                "was made",
                hint="leave these options out, or make it again with them: edgekit bundle",
            )
        with opened(path) as bundle:
            yield bundle
        return
    with TemporaryDirectory(prefix="edgekit-") as folder:
        yield make_bundle(path, store, options, Path(folder))


def make_bundle(path: Path, store: Store, options: BundleOptions, into: Path) -> Bundle:
    """Make one in an empty folder.

    Raises:
        InputError: as `bundle_of`.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    variant = variant_of(path)
    if variant:
        return _from_build(variant, store, options, into)
    if path.is_dir():
        inside = sorted(p.parent.name for p in path.glob("*/manifest.json"))
        raise InputError(
            f"{path} is no folder of a build",
            hint=f"name one of its folders: {', '.join(inside)}"
            if inside
            else "name build/<recipe>/<target>, one of its variants, a bundle or a model file",
        )
    return _from_file(path, options, into)


def variant_of(path: Path) -> Path | None:
    """The variant's folder that is meant; None for a file from elsewhere.

    Raises:
        InputError: it is a target's folder in which no variant is the choice.
    """
    folder = path.parent if path.is_file() else path
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    if not isinstance(manifest, TargetManifest):
        return folder
    if path.is_file():
        return None
    if not manifest.choice:
        raise InputError(f"{path}: none of its variants is the choice; name one of its folders")
    return folder / manifest.choice


def _from_build(folder: Path, store: Store, options: BundleOptions, into: Path) -> Bundle:
    _refuse_feeding(folder, options)
    artifact, _ = artifact_of(folder, store)
    manifest = published(folder)
    report = read_report(folder.parent)
    if report is None:
        raise InputError(f"{folder.parent / REPORT} is not there", hint=BUILD_AGAIN)
    runtime: Runtime = find_runtimes()[manifest.runtime]()
    images, labels, scores = _slice(artifact, report, store)
    card = Card.model_validate(artifact.metadata["card"])
    lineage = [step.model_dump() for step in manifest.lineage]
    names = [*manifest.files, *(n for n in BUILD_FILES if (folder / n).exists())]
    info = Info(
        name=report.recipe,
        target=report.target,
        machine=machine_of(report.isa),
        cpu=report.cpu,
        threads=options.threads or report.threads,
        runtime=runtime.name,
        device=report.device if runtime.name == "openvino" else "CPU",
        form=InputForm.model_validate(artifact.metadata["form"]),
        subject=subject_of(folder / runtime.file, runtime, manifest.precision, card, lineage),
        classes=card.classes,
        images=len(images),
        labelled=True,
        input_source=f"{len(images)} images of the {report.data.evaluated_on} split, spread "
        "over its classes",
        input_sha256=hashlib.sha256(images.tobytes()).hexdigest(),
        protocol=options.protocol.at(options.threads or report.threads),
    )
    copied = {name: folder / name for name in names}
    return write_bundle(into, info, copied, images, labels, scores)


def _refuse_feeding(folder: Path, options: BundleOptions) -> None:
    """
    Raises:
        InputError: an option that tells how a file from elsewhere is fed.
    """
    passed = [name for name in ("images", "mean", "std") if getattr(options, name) is not None]
    if passed:
        raise InputError(
            f"{folder} is of a build, which knows its images and its input: "
            f"--{', --'.join(passed)} of a file from elsewhere",
            hint="leave these options out",
        )


def _slice(
    artifact: Artifact, report: Report, store: Store
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Labelled images of the split the build was judged on, and the host's scores of this file."""
    for step in report.steps:
        validation = store.get(step.digest)
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


def _from_file(path: Path, options: BundleOptions, into: Path) -> Bundle:
    """A model file from elsewhere: held against this machine's scores of it."""
    runtime = _runtime_of(path)
    port = _fixed_input(path, runtime)
    form, inputs, source = _inputs(path, port, options)
    np.save(into / "inputs.npy", inputs)
    candidate = Candidate("model", runtime.name, path, form or Ready())
    outcome = measure(
        [candidate], into / "inputs.npy", lambda *_: None, score=("model",), latency=False
    )
    (into / "inputs.npy").unlink()
    threads = options.threads or 1
    info = Info(
        name=_name_of(path),
        target=None,
        machine=None,
        cpu=None,
        threads=threads,
        runtime=runtime.name,
        form=form,
        subject=subject_of(path, runtime, None, None, None),
        classes=(),
        images=len(inputs),
        labelled=False,
        input_source=source,
        input_sha256=hashlib.sha256(inputs.tobytes()).hexdigest(),
        protocol=options.protocol.at(threads),
    )
    beside = [path.with_suffix(Path(name).suffix) for name in runtime.companions]
    copied = {file.name: file for file in (path, *beside)}
    return write_bundle(into, info, copied, inputs, None, outcome.scores["model"])


def _runtime_of(path: Path) -> Runtime:
    """
    Raises:
        InputError: no runtime has files of this suffix.
    """
    by_suffix = {Path(runtime.file).suffix: runtime for runtime in find_runtimes().values()}
    if path.suffix not in by_suffix:
        known = ", ".join(sorted(by_suffix))
        raise InputError(f"{path} is no model file that is known: {known}")
    return by_suffix[path.suffix]()


def _fixed_input(path: Path, runtime: Runtime) -> Port:
    """What a model file takes.

    Raises:
        InputError: the file is no model, or its input has sides that are not fixed.
    """
    try:
        port = runtime.describe(path).input
    except EdgekitError as error:
        raise InputError(error.message, hint=error.hint) from error
    if not all(side > 0 for side in port.shape) or port.shape[:1] != (1,):
        raise InputError(
            f"{path} takes {port.shape}; fixed sides and a batch of 1 expected",
            hint="export it with static shapes, one image at a time",
        )
    return port


def _name_of(path: Path) -> str:
    """Of the file, as a folder on any device can be called: my_model of `my model.onnx`."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip(".-") or "model"


def _inputs(
    path: Path, port: Port, options: BundleOptions
) -> tuple[InputForm | None, NDArray[Any], str]:
    """What a file from elsewhere is run on: the user's images where it takes square RGB ones, in
    either order of axes; else random numbers, which are enough to time it and to compare scores.

    Returns:
        the form of raw pixels, None where the inputs lie ready; the inputs, (inputs, ...); and
        where they are from.
    """
    if options.images is None:
        random = np.random.default_rng(0)
        shape = (RANDOM_INPUTS, *port.shape[1:])
        if np.issubdtype(np.dtype(port.dtype), np.integer):
            info = np.iinfo(np.dtype(port.dtype))
            numbers: NDArray[Any] = random.integers(info.min, info.max, shape, port.dtype)
        else:
            numbers = random.standard_normal(shape).astype(port.dtype)
        return None, numbers, f"{RANDOM_INPUTS} random inputs, seed 0"
    last = port.shape[1:] == (port.shape[1], port.shape[1], 3)
    if not last and port.shape[1:] != (3, port.shape[2], port.shape[2]):
        raise InputError(
            f"{path} takes {port.shape}, and --images gives square RGB images",
            hint="leave --images out: random inputs are enough to time it",
        )
    form = input_form(path, port.dtype, Asked(mean=options.mean, std=options.std))
    images = decode_folder(options.images, port.shape[2], 1.0, SLICE)
    source = f"{len(images)} images of a folder of the user's"
    if last:
        return form, images, source
    return None, np.ascontiguousarray(form.prepare(images).transpose(0, 3, 1, 2)), source
