"""One float model on one runtime, and every int8 form of it that is tried."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from edgekit import stats
from edgekit.engine.action import Context, Inputs, Progress
from edgekit.engine.artifact import Artifact
from edgekit.engine.confinement import image_by_image
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, EdgekitError, Unsupported
from edgekit.evaluation.measure import measure
from edgekit.evaluation.timing import Candidate
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.quantization import ranges
from edgekit.quantization.corrections import applicable, correct
from edgekit.quantization.ranges import Histogram
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata, Correction, TrialResult
from edgekit.runtimes.contract.input_form import InputForm, pixel_grid
from edgekit.runtimes.contract.settings import Quantization

TRIAL_IMAGES = 64
"""Calibration images that judge where none are held back: they choose between two forms."""


class QuantizationConfig(BaseModel):
    """What is done to the float model before int8, and how ranges are found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantization: Quantization
    corrections: tuple[Correction, ...] = ()

    def keep_in_float(self, operators: tuple[str, ...]) -> QuantizationConfig:
        """The same, with these operators in float and no others."""
        quantization = self.quantization.model_copy(update={"float_ops": operators})
        return self.model_copy(update={"quantization": quantization})

    @property
    def label(self) -> str:
        """For a person to read.

        >>> quantization = Quantization(quantizer="q", calibration="mse", float_ops=("div", "mul"))
        >>> QuantizationConfig(quantization=quantization, corrections=("adaround", "bias")).label
        'mse + adaround + bias, 2 operators in float'
        """
        method: str = self.quantization.calibration
        if method == "percentile":
            method = f"percentile {self.quantization.percentile:g}"
        if self.quantization.precision != "int8":
            method = f"{self.quantization.precision} {method}"
        text = " + ".join((method, *self.corrections))
        count = len(self.quantization.float_ops)
        return f"{text}, {count} operator{'s' * (count > 1)} in float" if count else text


@dataclass
class QuantizationTrials:
    """Makes and judges configurations; what two of them share is made once.

    Args:
        compiled: the float model on the runtime, as `compile` left it.
        source: the torch model it was made of; None for a file from elsewhere, which can be
            calibrated in any way and not corrected.
        images: uint8 (images, height, width, 3), to calibrate on.
        judged: likewise, to judge on; never from the split that validates.
        labels: int64 (images,), of those that judge.
        folder: to work in.
        report: told how far the work is, of the whole stage.
        purpose: what is tried now, and why; it stands before what is reported.
    """

    runtime: Runtime
    compiled: Artifact
    source: Artifact | None
    images: NDArray[np.uint8]
    judged: NDArray[np.uint8]
    labels: NDArray[np.int64]
    folder: Path
    report: Progress
    purpose: str = ""
    _judged: tuple[QuantizationConfig, Path, InputForm] | None = None
    """The last configuration that ran, and its file."""
    _begun: float = field(default_factory=time.monotonic)
    _floats: dict[tuple[Correction, ...], Path] = field(default_factory=dict)
    _histograms: dict[tuple[Correction, ...], dict[str, Histogram]] = field(default_factory=dict)

    def progress(self, done: int, total: int, note: str) -> None:
        """Report the work on the present trial, with the minute of the search it falls in."""
        minute = 1 + int(time.monotonic() - self._begun) // 60
        self.report(
            done, total, f"minute {minute}, {self.purpose}: {note}" if self.purpose else note
        )

    @cached_property
    def card(self) -> Card:
        return self.compiled.described_by(CompiledMetadata).card

    @cached_property
    def calibrated_form(self) -> InputForm:
        """How images are fed while ranges are found: as the codes of the pixels will be."""
        grid, card = pixel_grid(self.card), self.card
        return grid.form if grid else InputForm(dtype="float32", mean=card.mean, std=card.std)

    @cached_property
    def corrections(self) -> tuple[Correction, ...]:
        """Those that would change anything here, and nothing that was trained for int8."""
        if self.source is None or self.trained_ranges:
            return ()
        return applicable(timm_models.restore(self.source)[0], self.card)

    def float_file(self, corrections: tuple[Correction, ...]) -> Path:
        """The float model, corrected and compiled.

        Raises:
            Unsupported: a layer that a correction does not know.
        """
        if not corrections:
            return self.compiled.file(self.runtime.file)
        assert self.source is not None  # a recipe of a file from elsewhere has none
        if corrections not in self._floats:
            model, card = timm_models.restore(self.source)
            form, images = self.calibrated_form, self.images
            try:
                corrected = correct(model, card, images, form, corrections, self.progress)
            except (RuntimeError, ValueError, KeyError) as error:  # torch's, of a strange layer
                raise Unsupported(
                    f"{', '.join(corrections)} cannot be done to {card.arch}: {error}",
                    hint="leave the correction out",
                ) from error
            into = Path(tempfile.mkdtemp(dir=self.folder))
            self.runtime.compile(corrected, card, into, self.progress)
            self._floats[corrections] = into / self.runtime.file
        return self._floats[corrections]

    def histograms(self, corrections: tuple[Correction, ...]) -> dict[str, Histogram]:
        if corrections not in self._histograms:
            path, total = self.float_file(corrections), len(self.images)
            tensors = self.runtime.tensors(path, self.calibrated_form, self.images)

            def counted() -> Iterator[dict[str, NDArray[np.float32]]]:
                for done, image in enumerate(image_by_image(tensors), start=1):
                    self.progress(done, total, "collecting ranges")
                    yield image

            self._histograms[corrections] = ranges.collect(counted())
        return self._histograms[corrections]

    @cached_property
    def trained_ranges(self) -> dict[str, ranges.Range]:
        """Ranges that were trained with the weights, by tensor; empty without a qat stage."""
        found = self.compiled.described_by(CompiledMetadata).ranges or {}
        return {name: (low, high) for name, (low, high) in found.items()}

    def quantize(self, config: QuantizationConfig, into: Path) -> InputForm:
        """Make it; ranges that its runtime's own library cannot find are found here."""
        settings, path = config.quantization, self.float_file(config.corrections)
        # A second quantiser takes no ranges, whoever found them.
        takes_ranges = settings.quantizer == self.runtime.quantizers[0]
        trained = self.trained_ranges if takes_ranges else {}
        if settings.precision != "float16" and (self.finds_ranges(settings) or trained):
            found = {
                name: ranges.choose(histogram, settings.calibration, settings.percentile)
                for name, histogram in self.histograms(config.corrections).items()
            }
            settings = settings.model_copy(update={"ranges": found | trained})
        return self.runtime.quantize(path, self.card, self.images, settings, into, self.progress)

    def finds_ranges(self, settings: Quantization) -> bool:
        """Whether the calibration is edgekit's own and not the library's."""
        runtime = self.runtime
        return runtime.calibrates_slowly or settings.calibration not in runtime.calibrations

    def try_out(self, config: QuantizationConfig) -> TrialResult:
        """That a file cannot be made, or does not run, is a result here: int8 breaks some operators
        so, and libraries say it in ways of their own."""
        try:
            return self.judge(config)
        except (DeviceError, Unsupported) as error:
            failure = error.message
        except EdgekitError:
            raise
        except (
            ArithmeticError,
            LookupError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as error:
            failure = f"{type(error).__name__}: {str(error).strip() or 'no words'}".splitlines()[0]
        return TrialResult(sqnr_db=None, images=len(self.judged), failure=failure)

    def judge(self, config: QuantizationConfig) -> TrialResult:
        """Quantise, and hold the scores against the float model's.

        Raises:
            DeviceError, Unsupported: it cannot be made, or does not run.
        """
        if self._judged:
            shutil.rmtree(self._judged[1])
            self._judged = None
        into = Path(tempfile.mkdtemp(dir=self.folder))
        form = self.quantize(config, into)
        scores = self._scores(into / self.runtime.file, form)
        self._judged = config, into, form
        count = len(self.judged)
        if not np.isfinite(scores).all():
            return TrialResult(sqnr_db=None, images=count, failure="NaN or infinite scores")
        expected = self.float_scores
        before, after = expected.argmax(axis=1), scores.argmax(axis=1)
        change = stats.paired_accuracy(before == self.labels, after == self.labels)
        return TrialResult(
            sqnr_db=round(stats.sqnr_db(expected, scores), 1),
            images=count,
            agreement=round(100 * float(np.mean(before == after)), 2),
            drop=round(change.drop, 2),
            loses=change.loses,
        )

    def ship(self, config: QuantizationConfig, into: Path) -> InputForm:
        """Make it, or copy it where it was the last one judged."""
        if self._judged is None or self._judged[0] != config:
            return self.quantize(config, into)
        shutil.copytree(self._judged[1], into, dirs_exist_ok=True)
        return self._judged[2]

    def keep(self, config: QuantizationConfig) -> Path:
        """The int8 file, kept as long as `folder` is."""
        into = Path(tempfile.mkdtemp(dir=self.folder))
        self.quantize(config, into)
        return into / self.runtime.file

    @cached_property
    def float_form(self) -> InputForm:
        return self.compiled.described_by(CompiledMetadata).form

    @cached_property
    def float_scores(self) -> NDArray[np.float32]:
        return self._scores(self.compiled.file(self.runtime.file), self.float_form)

    def _scores(self, path: Path, form: InputForm) -> NDArray[np.float32]:
        model = Candidate("model", self.runtime.name, path, form)
        outcome = measure([model], self.judged_file, self.progress, score=("model",), latency=False)
        return outcome.scores["model"]

    @cached_property
    def judged_file(self) -> Path:
        np.save(self.folder / "judged.npy", self.judged)
        return self.folder / "judged.npy"


@contextmanager
def trials_of(runtime: Runtime, inputs: Inputs, context: Context) -> Iterator[QuantizationTrials]:
    """The trials of a step, by the roles of its inputs."""
    held = inputs.get("held_back")
    judging, count = (held, None) if held else (inputs["calibration"], TRIAL_IMAGES)
    with temporary_folder() as folder:
        yield QuantizationTrials(
            runtime=runtime,
            compiled=inputs["model"],
            source=inputs.get("source"),
            images=np.load(inputs["calibration"].file("images.npy")),
            judged=np.load(judging.file("images.npy"))[:count],
            labels=np.load(judging.file("labels.npy"))[:count],
            folder=folder,
            report=context.progress,
        )
