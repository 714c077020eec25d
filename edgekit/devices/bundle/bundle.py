"""A bundle: a folder with everything that it takes to run, check and measure a model on a device.

    model.tflite ...     the model, and what belongs to it
    manifest.json, labels.txt                  as the build left them
    golden_input.npy, golden_scores.npy        what the model must give back
    slice_images.npy, slice_labels.npy, slice_scores.npy   labelled images, and the host's scores
    classify.py          classifies photos with it
    agent.py, smoke.json, job.json, run.sh     what runs there
    bundle.json          what it is
    SHA256SUMS           of all the others

Its tar is reproducible: the same bundle gives the same bytes, and their sha256 names the release.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.agent import agent, classify
from edgekit.data.images import spread
from edgekit.devices.agent_answer import Job
from edgekit.devices.bundle._run_sh import run_sh
from edgekit.devices.bundle.info import Info
from edgekit.devices.bundle.protocol import GOLDEN, golden_share, job_for
from edgekit.devices.bundle.reference import FLOAT, MODEL, Reference, Setting
from edgekit.devices.bundle.sums import read_sums, sums_text
from edgekit.engine.artifact import sha256_of
from edgekit.engine.atomic import permitted
from edgekit.engine.records import BadRecord, Record, parse_record, shown
from edgekit.errors import InputError, IntegrityError
from edgekit.evaluation.arrays import read_array
from edgekit.evaluation.predictions import DIGEST, JudgedImages
from edgekit.evidence import Evidence
from edgekit.runtimes.contract.input_form import InputForm

SUMS, INFO, JOB = "SHA256SUMS", "bundle.json", "job.json"
SMOKE, RESULT = "smoke.json", "result.json"
IMAGES, LABELS, SCORES = "slice_images.npy", "slice_labels.npy", "slice_scores.npy"
GOLDEN_INPUT, GOLDEN_SCORES = "golden_input.npy", "golden_scores.npy"
WORKERS = 4
"""Threads that score the slice: the boards have four cores."""
MAKE_ONE = "make one: edgekit bundle build/<recipe>/<target>/<variant> --out FOLDER"
COPY_AGAIN = "copy it again; if that does not help, make the bundle again"
EVERY_BUNDLE = {
    INFO, JOB, SMOKE, "agent.py", "run.sh", IMAGES, SCORES, GOLDEN_INPUT, GOLDEN_SCORES,
}  # fmt: skip

MEASURING = {IMAGES, SCORES, JOB, "run.sh"}
"""What it is measured with; one that is deployed does without."""
EVERY_RELEASE = EVERY_BUNDLE - MEASURING


class Bundle:
    """A bundle that lies in a folder.

    Args:
        named: what messages call the folder: a tar it was unpacked from.

    Raises:
        InputError: it is none.
    """

    def __init__(self, folder: Path, named: Path | None = None) -> None:
        self.folder = folder
        self.named = named or folder
        self.info = self._record(Info, INFO)

    def _record(self, model: type[Record], name: str) -> Record:
        """
        Raises:
            InputError: the file is not there, or no such record.
        """
        path = self.folder / name
        try:
            return parse_record(model, path.read_bytes())
        except OSError as error:
            raise InputError(
                f"{self.named} is no bundle: {name} cannot be read: {error.strerror}",
                hint=MAKE_ONE,
            ) from error
        except BadRecord as error:
            raise InputError(
                f"{self.named} is no bundle: {name}: {error}", hint=MAKE_ONE
            ) from error

    @property
    def files(self) -> dict[str, Path]:
        return {name: self.folder / name for name in (*self.sums, SUMS)}

    @property
    def sums(self) -> dict[str, str]:
        """
        Raises:
            InputError: there is no file of them. IntegrityError: a line is none of a file in this
                very folder, or a file that every bundle has is not among them.
        """
        try:
            text = (self.folder / SUMS).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise InputError(
                f"{self.named} is no whole bundle: {SUMS} cannot be read: {error.strerror}",
                hint=COPY_AGAIN,
            ) from error
        found = read_sums(text)
        if len(found) != len(text.splitlines()):
            raise IntegrityError(
                f"{self.named / SUMS} is damaged, or names files elsewhere", hint=COPY_AGAIN
            )
        needed = {*EVERY_RELEASE, self.info.subject.file}
        if self.info.has_slice:
            needed |= {*MEASURING, *([LABELS] if self.info.labelled else [])}
        if missing := ", ".join(map(shown, sorted(needed - found.keys()))):
            raise IntegrityError(
                f"{self.named / SUMS} is damaged: it does not list {missing}", hint=COPY_AGAIN
            )
        return found

    @property
    def job(self) -> Job:
        """What its results are held against.

        Raises:
            InputError: its file is no job.
        """
        return self._record(Job, JOB)

    @property
    def id(self) -> str:
        """What its results carry: they belong to this bundle and no other."""
        return self.job.id or ""

    def verify(self) -> None:
        """
        Raises:
            InputError: as `sums`. IntegrityError: a file is not the one that was bundled.
        """
        for name, digest in self.sums.items():
            path = self.folder / name
            found = sha256_of(path) if path.is_file() else "nothing"
            if found != digest:
                raise IntegrityError(
                    f"{self.named / name} is damaged: sha256 {digest[:16]} expected, {found[:16]} "
                    "found",
                    hint=COPY_AGAIN,
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
        """
        Raises:
            InputError: its labels or the host's scores are none of its images.
        """
        images = self.info.images
        scores = read_array(self.folder / SCORES, MAKE_ONE)
        self._expect(SCORES, scores.ndim == 2 and len(scores) == images and scores.size > 0)
        self._expect(SCORES, bool(np.isfinite(scores).all()))
        if not self.info.labelled:
            return Reference(None, scores, self.info.classes)
        labels = read_array(self.folder / LABELS, MAKE_ONE)
        self._expect(LABELS, labels.shape == (images,) and labels.dtype.kind in "iu")
        known = (labels >= 0) & (labels < len(self.info.classes))
        self._expect(LABELS, bool(known.all()))
        pixels = read_array(self.folder / IMAGES, MAKE_ONE)
        self._expect(IMAGES, len(pixels) == images if pixels.ndim else False)
        return Reference(labels, scores, self.info.classes, _judged(pixels, labels))

    def _expect(self, name: str, fits: bool) -> None:
        """
        Raises:
            InputError: a file does not fit the others.
        """
        if not fits:
            what = f"{self.info.images} images of {len(self.info.classes)} classes"
            raise InputError(f"{self.named / name} is not of {what}", hint=MAKE_ONE)


class _Sink(io.RawIOBase):
    """A file that keeps the digest of what is written to it."""

    def __init__(self, digest: hashlib._Hash) -> None:
        self.digest = digest

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return len(data)


def _judged(pixels: NDArray[Any], labels: NDArray[Any]) -> JudgedImages | None:
    digests = tuple(hashlib.sha256(image.tobytes()).hexdigest()[:DIGEST] for image in pixels)
    if len(set(digests)) < len(digests):
        return None
    names = tuple(f"image {i} of the slice" for i in range(len(digests)))
    return JudgedImages(names=names, digests=digests, labels=tuple(labels.tolist()))


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
    shutil.copyfile(classify.__file__, folder / "classify.py")
    (folder / "run.sh").write_text(run_sh(info.machine), encoding="utf-8")
    (folder / "run.sh").chmod(permitted(0o777))
    few = _golden(scores, info.subject.precision)
    np.save(folder / GOLDEN_INPUT, images[few])
    np.save(folder / GOLDEN_SCORES, scores[few])
    np.save(folder / IMAGES, images)
    np.save(folder / SCORES, scores)
    if labels is not None:
        np.save(folder / LABELS, labels)
    (folder / INFO).write_text(info.model_dump_json(indent=1), encoding="utf-8")
    id = hashlib.sha256(sums_text(folder).encode()).hexdigest()
    models = [_entry(MODEL, info.subject.file, info, info.form)]
    smoke = {"id": f"smoke {id}", "threads": 1, "models": models[:]}
    if float_model:
        models.append(_entry(FLOAT, float_model[0], info, float_model[1]))
    golden = {"input": GOLDEN_INPUT, "scores": GOLDEN_SCORES}
    job = job_for(models, info.protocol, id, IMAGES, golden, info.threads, WORKERS)
    (folder / JOB).write_text(json.dumps(job, indent=1), encoding="utf-8")
    (folder / SMOKE).write_text(json.dumps({**smoke, "golden": golden}, indent=1), encoding="utf-8")
    (folder / SUMS).write_text(sums_text(folder), encoding="utf-8")
    return Bundle(folder)


def _golden(scores: NDArray[np.float32], precision: str) -> NDArray[np.int64]:
    """Which images are golden: spread over all whose class stands out by more than another
    processor's scores may differ, since there each must be given the same class."""
    every = np.arange(len(scores))
    if scores.shape[1] > 1:
        second, first = np.sort(scores, axis=1)[:, -2:].T
        clear = every[first - second > 2 * golden_share(precision) * np.ptp(scores)]
        every = clear if len(clear) >= GOLDEN else every
    return every[spread(len(every), GOLDEN)]


def _entry(id: str, path: str, info: Info, form: InputForm | None) -> dict[str, Any]:
    how = form.model_dump(mode="json") if form else {"dtype": "ready"}
    return {"id": id, "path": path, "runtime": info.runtime, "device": info.device, "form": how}
