"""Make a bundle: of what a build left, or of any model file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edgekit.build_folder.manifest import TargetManifest
from edgekit.build_folder.reading import (
    BUILD_AGAIN,
    MANIFEST,
    REPORT,
    artifact_of,
    published,
    read_manifest,
    read_report,
    with_store,
)
from edgekit.build_folder.report import Report
from edgekit.data.images import spread
from edgekit.devices.bundle.bundle import Bundle, write_bundle
from edgekit.devices.bundle.bundled_model import subject_of
from edgekit.devices.bundle.from_file import bundle_of_file
from edgekit.devices.bundle.info import Info
from edgekit.devices.bundle.options import BundleOptions
from edgekit.devices.bundle.protocol import SLICE
from edgekit.devices.bundle.unpack import opened
from edgekit.engine.artifact import Artifact
from edgekit.engine.records import problem_of
from edgekit.engine.store import Store
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import InputError
from edgekit.evaluation.validate import RESULT
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.runtimes.contract.named_file import describe_named
from edgekit.spec.target import machine_of

BUILD_FILES = (MANIFEST, "labels.txt")


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
    with temporary_folder() as folder:
        yield make_bundle(path, store, options, folder)


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
    return bundle_of_file(path, options, into)


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
    images, labels, scores = _slice(folder, artifact, report, store)
    metadata = artifact.described_by(CompiledMetadata)
    (described,) = describe_named(runtime, folder / runtime.file)
    card = metadata.card
    lineage = [step.model_dump() for step in manifest.lineage]
    names = [*manifest.files, *(n for n in BUILD_FILES if (folder / n).exists())]
    try:
        info = Info(
            name=report.recipe,
            target=report.target,
            machine=machine_of(report.isa),
            cpu=report.cpu,
            threads=options.threads or report.threads,
            runtime=runtime.name,
            device=runtime.device_for(report.device),
            form=metadata.form,
            subject=subject_of(
                folder / runtime.file,
                runtime,
                described.operators,
                manifest.precision,
                card,
                lineage,
            ),
            classes=card.classes,
            scores=manifest.scores,
            images=len(images),
            labelled=True,
            input_source=f"{len(images)} images of the {report.data.evaluated_on} split, spread "
            "over its classes",
            input_sha256=hashlib.sha256(images.tobytes()).hexdigest(),
            protocol=options.protocol.at(options.threads or report.threads),
        )
    except ValidationError as error:
        what = f"{folder.parent / REPORT} makes no bundle: {problem_of(error)}"
        raise InputError(what, hint=BUILD_AGAIN) from error
    copied = {name: folder / name for name in names}
    return write_bundle(into, info, copied, images, labels, scores)


def _refuse_feeding(folder: Path, options: BundleOptions) -> None:
    """
    Raises:
        InputError: an option that tells how a file from elsewhere is fed.
    """
    passed = [
        name for name in ("images", "mean", "std", "labels") if getattr(options, name) is not None
    ]
    if passed:
        raise InputError(
            f"{folder} is of a build, which knows its images and its input: "
            f"--{', --'.join(passed)} of a file from elsewhere",
            hint="leave these options out",
        )


def _slice(
    folder: Path, artifact: Artifact, report: Report, store: Store
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
        images = np.load(source.verified("images.npy"), mmap_mode="r")
        chosen = spread(len(images), SLICE)
        labels = np.load(source.verified("labels.npy"))[chosen]
        scores = np.load(validation.verified("scores.npy"))[chosen]
        return np.array(images[chosen]), labels, scores
    raise InputError(
        f"the store {store.root} has not kept the images this model was judged by",
        hint=with_store(folder, store),
    )
