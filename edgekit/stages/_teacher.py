"""What a teacher says of fixed views of the training images, kept in the store.

A teacher's pass over the views costs more than the student's training; as a step of its own it is
paid once, whatever is changed of the student later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgekit.data.size import Size
from edgekit.data.splits import SplitsMetadata
from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json, Metadata, sha256_of
from edgekit.errors import WeightsError
from edgekit.models import timm_models
from edgekit.models.source import ModelSource, Triple
from edgekit.stages._augment import Views
from edgekit.stages._linear_head import fit_head
from edgekit.stages._training import channels_last

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

HeadKind = Literal["keep", "linear"]
SCORES_FILE = "scores.npy"
BATCH = 16
"""Images at a time. On a CPU larger batches are slower: their activations leave the cache."""
OTHER_CLASSES = "give a network that was trained on the data's classes"
OR_LINEAR = (
    "; or set head: linear, which fits a new classifier to the frozen features of any network"
)


class TeacherMetadata(Metadata):
    """Of a teacher's scores."""

    teacher: str
    views: int
    """Of each image."""
    recall_on_views: float
    """Percent, averaged over the classes."""
    head: Json | None = None
    """Of a linear head that was fitted for the data, what came of it."""
    remark: str | None = None
    """What was done to the names of the teacher's weights."""


class TeacherScores(Action):
    """Write scores.npy: float32 (views, images, classes), in the order of images.npy."""

    def __init__(
        self,
        teacher: ModelSource,
        head: HeadKind,
        views: Views,
        image_size: Size,
        teacher_image_size: Size | None,
    ) -> None:
        """
        Args:
            image_size: of the views, which the student sees as well.
            teacher_image_size: what the views are resized to for the teacher.
        """
        self.teacher = teacher
        self.file = teacher.weights_file()
        self.head = head
        self.views = views
        self.image_size = image_size
        self.size = teacher_image_size or image_size

    def used_libraries(self) -> tuple[str, ...]:
        return ("torch", "timm", "torchvision", *(["scikit-learn"] * (self.head == "linear")))

    def settings(self) -> Json:
        weights = sha256_of(self.file) if self.file else self.teacher.weights
        return {
            "teacher": {**self.teacher.model_dump(mode="json"), "weights": weights},
            "head": self.head,
            "views": self.views.model_dump(mode="json"),
            "image_size": self.image_size.plain,
            "teacher_image_size": self.size.plain,
        }

    def run(self, inputs: Inputs, into: Path, context: Context) -> TeacherMetadata:
        images = np.load(inputs["train"].file("images.npy"), mmap_mode="r")
        labels = np.load(inputs["train"].file("labels.npy"))
        classes = inputs["splits"].described_by(SplitsMetadata).classes
        notes: list[str] = []
        network = self._network(classes, notes.append)
        look = _Look(network, images, context, self.views, self.image_size)
        outputs = np.stack([look.at(view) for view in range(self.views.count)])
        fitted: Json | None = None
        score: Callable[[NDArray[np.float32]], NDArray[np.float32]] = network.in_order
        if self.head == "linear":
            score, fitted = fit_head(outputs, labels, classes)
        scores = np.stack([score(of_view) for of_view in outputs])
        np.save(into / SCORES_FILE, scores)
        recall = _recall(scores, labels)
        self._refuse_ignorance(recall, len(classes))
        return TeacherMetadata(
            teacher=self.teacher.label,
            views=self.views.count,
            recall_on_views=round(100 * recall, 2),
            head=fitted,
            remark="; ".join(notes) or None,
        )

    def _network(self, classes: tuple[str, ...], note: Callable[[str], None]) -> _TeacherNetwork:
        with of_a_teacher("distill.teacher", OTHER_CLASSES + OR_LINEAR):
            if self.head == "linear":
                model, mean, std = timm_models.load_backbone(
                    self.teacher, self.file, self.size, note
                )
                return _TeacherNetwork(channels_last(model), mean, std, self.size)
            order = order_of(self.teacher, classes)
            own = self.teacher.classes or classes
            model, mean, std = timm_models.load(self.teacher, self.file, own, self.size, note)
            return _TeacherNetwork(channels_last(model), mean, std, self.size, order)

    def _refuse_ignorance(self, recall: float, classes: int) -> None:
        if recall <= 1 / classes:
            raise WeightsError(
                f"distill.teacher: {self.teacher.label} is right on {100 * recall:.1f} % of the "
                f"training images, averaged over the classes: no better than chance, "
                f"{100 / classes:.1f} %",
                hint="are its classes in another order than the data's? teacher.classes gives "
                "theirs; are mean and std those it was trained with?",
            )


def order_of(teacher: ModelSource, classes: tuple[str, ...]) -> tuple[int, ...]:
    """Which of a teacher's scores is the data's first class, its second, ...

    Raises:
        WeightsError: its classes are not the data's.
    """
    own = teacher.classes or classes
    if set(own) != set(classes):
        listed = f"classes: {', '.join(own)}; the data has {', '.join(classes)}"
        raise WeightsError(listed, hint=OTHER_CLASSES)
    return tuple(own.index(c) for c in classes)


@contextmanager
def of_a_teacher(setting: str, other_classes: str = OTHER_CLASSES) -> Iterator[None]:
    """Name the setting that a fault of the weights is of, and what to do about other classes: a
    model that is to be built may be given a new head, a teacher needs one that knows.

    Raises:
        WeightsError: what was raised inside, with the setting in front.
    """
    try:
        yield
    except WeightsError as error:
        about_classes = error.hint == OTHER_CLASSES or "model.head" in (error.hint or "")
        hint = other_classes if about_classes else error.hint
        raise WeightsError(f"{setting}: {error.message}", hint=hint) from error


@dataclass(frozen=True)
class _TeacherNetwork:
    """A frozen network, and how it wants its images."""

    model: Any
    mean: Triple
    std: Triple
    size: Size
    order: tuple[int, ...] = ()
    """Which of its scores is the data's first class, its second, ..."""

    def __call__(self, batch: torch.Tensor) -> NDArray[np.float32]:
        """From uint8 (images, 3, height, width) to what the network gives."""
        import torch
        from torch.nn import functional as F

        x = batch.float() / 255
        if tuple(x.shape[-2:]) != tuple(self.size):
            x = F.interpolate(x, tuple(self.size), mode="bicubic", antialias=True)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.mean, self.std))
        x = channels_last((x - mean) / std)
        with torch.inference_mode():
            outputs: NDArray[np.float32] = self.model(x).numpy()
        return outputs

    def in_order(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return outputs[:, self.order]


@dataclass(frozen=True)
class _Look:
    """Passes over all images, one a view. Each is kept as it ends: a killed step goes on there."""

    network: _TeacherNetwork
    images: NDArray[np.uint8]
    context: Context
    views: Views
    image_size: Size

    def at(self, view: int) -> NDArray[np.float32]:
        """The network's outputs (images, ...) for one view of every image."""
        import torch

        kept = self.context.partial / f"view-{view}.npy"
        if kept.exists():
            done: NDArray[np.float32] = np.load(kept)
            return done
        view_of = self.views.maker(self.image_size)
        count = len(self.images)
        outputs = []
        for start in range(0, count, BATCH):
            batch = range(start, min(start + BATCH, count))
            seen = [view_of(self.images[i], view, i) for i in batch]
            outputs.append(self.network(torch.stack(seen)))
            note = f"teacher, view {view + 1}/{self.views.count}"
            self.context.progress(view * count + batch.stop, self.views.count * count, note)
        whole = np.concatenate(outputs)
        part = kept.with_suffix(".part")
        with part.open("wb") as stream:
            np.save(stream, whole)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, kept)
        return whole


def _recall(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Share of views whose highest score is the label's, averaged over the classes."""
    right = scores.argmax(axis=2) == labels
    return float(np.mean([right[:, labels == label].mean() for label in np.unique(labels)]))
