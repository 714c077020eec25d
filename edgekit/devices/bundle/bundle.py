"""A bundle: a folder with everything that it takes to run, check and measure a model on a device.

    model.tflite ...     the model, and what belongs to it
    manifest.json, labels.txt, classify.py     as the build left them
    golden_input.npy, golden_scores.npy        what the model must give back
    slice_images.npy, slice_labels.npy, slice_scores.npy   labelled images, and the host's scores
    agent.py, smoke.json, job.json, run.sh     what runs there
    bundle.json          what it is
    SHA256SUMS           of all the others

Its tar is reproducible: the same bundle gives the same bytes, and their sha256 names the release.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgekit import __version__
from edgekit.agent import agent
from edgekit.data.images import spread
from edgekit.devices.bundle._run_sh import run_sh
from edgekit.devices.bundle.bundled_model import Subject
from edgekit.devices.bundle.protocol import GOLDEN, Protocol, job_for
from edgekit.devices.bundle.reference import FLOAT, MODEL, Reference, Setting
from edgekit.engine.artifact import sha256_of
from edgekit.errors import InputError, IntegrityError
from edgekit.evidence import Evidence
from edgekit.runtimes.contract.input_form import InputForm

SUMS, INFO, JOB, SMOKE, RESULT = (
    "SHA256SUMS",
    "bundle.json",
    "job.json",
    "smoke.json",
    "result.json",
)
IMAGES, LABELS, SCORES = "slice_images.npy", "slice_labels.npy", "slice_scores.npy"
GOLDEN_INPUT, GOLDEN_SCORES = "golden_input.npy", "golden_scores.npy"
WORKERS = 4
"""Threads that score the slice: the boards have four cores."""
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
"""Of a model, as of a recipe: it is a folder on the device."""


class Info(BaseModel):
    """What a bundle is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    edgekit: str = __version__
    name: str = Field(pattern=NAME)
    """Of the deployed model: its folder on the device."""
    target: str | None
    machine: str | None
    """The architecture it is built for, as `uname -m` says it; None for any."""
    cpu: str | None
    threads: int
    runtime: str
    device: str = "CPU"
    """What runs it there: CPU, NPU, ..."""
    form: InputForm | None
    """None where what is no image to us lies ready for the model."""
    subject: Subject
    classes: tuple[str, ...]
    images: int
    labelled: bool
    input_source: str
    input_sha256: str
    protocol: Protocol
    absent: dict[str, str] = {}
    """Why something is not in it, by its path in the report."""


class Bundle:
    """A bundle that lies in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.info = Info.model_validate_json((folder / INFO).read_text())
        except (OSError, ValidationError) as error:
            raise InputError(
                f"{folder} is no bundle: {str(error).splitlines()[0]}",
                hint="make one: edgekit bundle build/<recipe>/<target>/<variant> --out FOLDER",
            ) from error

    @property
    def files(self) -> dict[str, Path]:
        return {name: self.folder / name for name in (*self.sums, SUMS)}

    @property
    def sums(self) -> dict[str, str]:
        """
        Raises:
            IntegrityError: a line is none of a file in this very folder.
        """
        text = (self.folder / SUMS).read_text()
        found = read_sums(text)
        if len(found) != len(text.splitlines()):
            raise IntegrityError(
                f"{self.folder / SUMS} is damaged, or names files elsewhere",
                hint="make the bundle again, and copy it again",
            )
        return found

    @property
    def id(self) -> str:
        """What its results carry: they belong to this bundle and no other."""
        id: str = json.loads((self.folder / JOB).read_text())["id"]
        return id

    def verify(self) -> None:
        """
        Raises:
            IntegrityError: a file is not the one that was bundled.
        """
        for name, digest in self.sums.items():
            path = self.folder / name
            found = sha256_of(path) if path.is_file() else "nothing"
            if found != digest:
                raise IntegrityError(
                    f"{path} is damaged: sha256 {digest[:16]} expected, {found[:16]} found",
                    hint="make the bundle again, and copy it again",
                )

    def release(self) -> str:
        """The sha256 of its tar."""
        digest = hashlib.sha256()
        with tarfile.open(fileobj=_Sink(digest), mode="w|") as tar:
            self._pack(tar)
        return digest.hexdigest()

    def write_tar(self, path: Path) -> None:
        part = path.with_name(f".{path.name}.part")
        with tarfile.open(part, "w") as tar:
            self._pack(tar)
        part.replace(path)

    def _pack(self, tar: tarfile.TarFile) -> None:
        for name, path in sorted(self.files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            entry.mode = 0o755 if name.endswith(".sh") else 0o644
            with path.open("rb") as stream:
                tar.addfile(entry, stream)

    def setting(self, device: str, address: str, evidence: Evidence) -> Setting:
        return Setting(
            device=device,
            address=address,
            evidence=evidence,
            runtime=self.info.runtime,
            threads=self.info.threads,
            protocol=self.info.protocol,
            input_source=self.info.input_source,
            input_sha256=self.info.input_sha256,
            cpu=self.info.cpu,
            absent=self.info.absent,
        )

    def reference(self) -> Reference:
        labels = np.load(self.folder / LABELS) if self.info.labelled else None
        return Reference(labels, np.load(self.folder / SCORES), self.info.classes)


class _Sink(io.RawIOBase):
    """A file that keeps the digest of what is written to it."""

    def __init__(self, digest: hashlib._Hash) -> None:
        self.digest = digest

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return len(data)


def write_bundle(
    folder: Path,
    info: Info,
    copied: dict[str, Path],
    images: NDArray[Any],
    labels: NDArray[np.int64] | None,
    scores: NDArray[np.float32],
    float_model: tuple[str, InputForm] | None = None,
) -> Bundle:
    """Make a bundle in an empty folder.

    Args:
        copied: the model and what comes with it, by their names in the bundle.
        images: uint8 (images, height, width, 3), all of which are scored on the device; without a
            form what the model takes, (inputs, ...).
        labels: (images,); None where none are known.
        scores: float32 (images, classes), the host's of the same file.
        float_model: the name and the input of the file that its latency is compared with.
    """
    for name, path in copied.items():
        shutil.copyfile(path, folder / name)
    shutil.copyfile(agent.__file__, folder / "agent.py")
    (folder / "run.sh").write_text(run_sh(info.machine))
    (folder / "run.sh").chmod(0o755)
    few = spread(len(images), GOLDEN)
    np.save(folder / GOLDEN_INPUT, images[few])
    np.save(folder / GOLDEN_SCORES, scores[few])
    np.save(folder / IMAGES, images)
    np.save(folder / SCORES, scores)
    if labels is not None:
        np.save(folder / LABELS, labels)
    (folder / INFO).write_text(info.model_dump_json(indent=1))
    id = hashlib.sha256(_sums(folder).encode()).hexdigest()
    models = [_entry(MODEL, info.subject.file, info, info.form)]
    smoke = {"id": f"smoke {id}", "threads": 1, "models": models[:]}
    if float_model:
        models.append(_entry(FLOAT, float_model[0], info, float_model[1]))
    golden = {"input": GOLDEN_INPUT, "scores": GOLDEN_SCORES}
    job = job_for(models, info.protocol, id, IMAGES, golden, info.threads, WORKERS)
    (folder / JOB).write_text(json.dumps(job, indent=1))
    (folder / SMOKE).write_text(json.dumps({**smoke, "golden": golden}, indent=1))
    (folder / SUMS).write_text(_sums(folder))
    return Bundle(folder)


def _entry(id: str, path: str, info: Info, form: InputForm | None) -> dict[str, Any]:
    how = form.model_dump(mode="json") if form else {"dtype": "ready"}
    return {"id": id, "path": path, "runtime": info.runtime, "device": info.device, "form": how}


SUM = re.compile(r"([0-9a-f]{64}) [ *]((?![.-])[^/\\]+)")
"""A line of sha256sum about a file with a plain name."""


def read_sums(text: str) -> dict[str, str]:
    """The digests by name that `sha256sum` prints; lines that are none of it are left out."""
    found = map(SUM.fullmatch, text.splitlines())
    return {line[2]: line[1] for line in found if line and line[2].isprintable()}


def _sums(folder: Path) -> str:
    """As `sha256sum -c` reads it."""
    return "".join(f"{sha256_of(path)}  {path.name}\n" for path in sorted(folder.iterdir()))


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """A bundle in a folder, or in a tar, which is unpacked for the while.

    Raises:
        InputError: it is none. IntegrityError: it is damaged.
    """
    with TemporaryDirectory(prefix="edgekit-") as temporary:
        folder = path
        if path.is_file():
            folder = Path(temporary)
            try:
                with tarfile.open(path) as tar:
                    tar.extractall(folder, filter="data")
            except tarfile.TarError as error:
                raise IntegrityError(
                    f"{path} is no whole tar: {error}", hint="copy it again"
                ) from error
        bundle = Bundle(folder)
        bundle.verify()
        yield bundle
