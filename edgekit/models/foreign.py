"""Models that are not timm's: ONNX files and Keras models, checked and kept as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgekit.data.framing import Framing
from edgekit.data.splits import SplitsMetadata
from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json, digest_of, sha256_of
from edgekit.engine.confinement import Confinement, confinement
from edgekit.models import _keras, _onnx
from edgekit.models.card import Card
from edgekit.models.float_metadata import FloatMetadata
from edgekit.models.kept import Kept
from edgekit.models.source import Format, ModelSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scorer = Callable[[NDArray[np.float32]], NDArray[np.float32]]

READERS: dict[Format, ModuleType] = {"onnx": _onnx, "keras": _keras}


class LoadForeign(Action):
    """Check a model file and keep it with its card, taking RGB whatever it took before."""

    version = 4

    def __init__(self, source: ModelSource, framing: Framing) -> None:
        file = source.weights_file()
        assert file is not None  # only files have these formats
        self.source = source
        self.file = file
        self.framing = framing

    def used_libraries(self) -> tuple[str, ...]:
        return libraries(self.source.format)

    def settings(self) -> Json:
        # The path does not matter, the content does; but the file's name is the model's.
        chosen = self.source.model_dump(mode="json", exclude={"weights"})
        name = {"name": self.source.label}
        return {**chosen, **name, "weights": content_digest(self.file), **self.framing.settings()}

    def confinement(self, inputs: Inputs) -> Confinement:
        return confinement(f"model.weights: {self.file.name}", _size(self.file))

    def run(self, inputs: Inputs, into: Path, context: Context) -> FloatMetadata:
        classes = inputs["splits"].described_by(SplitsMetadata).classes
        context.progress(0, 1, f"check {self.file.name}")
        reader = READERS[self.source.format]
        count, channels = len(classes), self.source.channels
        kept: Kept = reader.keep(self.file, self.framing.size, count, channels, into)
        mean, std = self.source.normalisation(None, None)
        card = Card(
            arch=self.source.label,
            classes=classes,
            image_size=self.framing.size,
            mean=mean,
            std=std,
            fit=self.framing.fit,
            crop_pct=self.framing.crop_pct,
            interpolation=self.framing.interpolation,
            orientation=self.framing.orientation,
            parameters=kept.parameters,
            macs=0,
            format=self.source.format,
            channels=self.source.channels,
        )
        context.progress(1, 1, f"check {self.file.name}")
        return FloatMetadata(card=card, file=kept.file, remark=_remark(kept, card))


def _remark(kept: Kept, card: Card) -> str | None:
    """What was changed of a model, for a person to read."""
    lines = [kept.remark] if kept.remark else []
    if card.channels == "grey":
        lines.append("it takes grey images, and RGB ones are made grey inside it")
    if kept.one_score:
        first, second = card.classes
        lines.append(
            f"its one score, a {kept.one_score}, is taken for that of {second}, the second class; "
            f"it gives a score for each now, {first} having the rest"
        )
    return "; ".join(lines) or None


def libraries(format: Format) -> tuple[str, ...]:
    """The distributions that run a model of this format."""
    if format == "torch":
        return ("torch", "timm")
    names: tuple[str, ...] = READERS[format].LIBRARIES
    return names


def confinement_of(source: ModelSource) -> Confinement | None:
    """The limits under which a model runs, is converted and quantised; None for torch's, whose
    program is timm's. The recipe's word counts: cards come from a confined process."""
    if source.format == "torch":
        return None
    return confinement(f"model.weights: {source.weights_name}", long=True)


def content_digest(path: Path) -> str:
    """The digest of a file with the files that hold its weights, or of a folder.

    Raises:
        WeightsError: a part is missing.
    """
    files = _files(path)
    if path.is_dir():
        return digest_of([[p.relative_to(path).as_posix(), sha256_of(p)] for p in files])
    if len(files) == 1:
        return sha256_of(path)
    return digest_of([[p.name, sha256_of(p)] for p in files])


def _files(path: Path) -> list[Path]:
    """A file with those that hold its weights, or all of a folder.

    Raises:
        WeightsError: a part is missing.
    """
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    return [path, *(_onnx.companions(path) if path.suffix.lower() == ".onnx" else [])]


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def scorer(model: Any, card: Card) -> Scorer:
    """A function from normalised RGB images, float32 NHWC, to scores (images, classes), computed
    in the model's own framework.

    Args:
        model: what `models.restore` gives.
    """
    if card.format == "torch":
        return _torch_scorer(model)
    run: Scorer = READERS[card.format].opened(model)
    return run


def _torch_scorer(model: Any) -> Scorer:
    import torch

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores: NDArray[np.float32] = model(
                torch.from_numpy(images).permute(0, 3, 1, 2)
            ).numpy()
        return scores

    return run
