"""From what was found to what a recipe says (pure, but for asking which packages are there)."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass

from edgekit import stats
from edgekit.data.framing import Fit, Interpolation, Orientation
from edgekit.data.size import Size
from edgekit.errors import InputError
from edgekit.models.model_file import ModelFile
from edgekit.models.source import Channels, InputRange
from edgekit.models.weights_packages import PACKAGED
from edgekit.setup.photos import PhotoSet, Shapes
from edgekit.spec.target import Target

SMALL_ARCH = "mobilenetv4_conv_small"
WEAK_CORES = ("cortex-a53", "cortex-a55")
SMALL_SIDE, USUAL_SIDE = 160, 224
"""Pixels of an input: of a network that is trained here, or for weak processors; and where a model
from elsewhere does not say it."""
PHOTOS_A_SECOND = {"tf_efficientnet_lite0": 40.0, "mobilenetv4_conv_small": 90.0}
"""That are trained on at SMALL_SIDE, on two idle cores of an AMD EPYC (2026-11-30)."""
MAX_DROP = 2.0
"""Points that int8 may lose."""
FEW = 320
"""Photos to train on below which batches are small: else an epoch has next to no updates."""
UPDATES = {True: 200, False: 1500}
"""Least updates of a training, from learned weights and from scratch."""
EPOCHS = {True: (10, 60), False: (30, 100)}
GUESSED_RANGE: InputRange = "0..1"
"""Of a whole model that does not say what numbers it takes."""
TOLD = ("input_range", "channels", "fit", "orientation", "interpolation", "classes")
"""What photos can tell of the input of a model from elsewhere."""


@dataclass(frozen=True)
class Wishes:
    """What the user has said; None for what is left to us."""

    weights: str | None = None
    arch: str | None = None
    epochs: int | None = None
    input_range: InputRange | None = None


@dataclass(frozen=True)
class TrainingPlan:
    epochs: int
    batch_size: int
    learning_rate: str
    seen_before: bool
    """The weights have learned from other images."""


@dataclass(frozen=True)
class Choices:
    """What is not found elsewhere of what the recipe's text is made of."""

    weights: str
    arch: str
    size: Size
    fit: Fit
    interpolation: Interpolation
    orientation: Orientation
    new_head: bool
    input_range: InputRange | None
    training: TrainingPlan | None
    max_drop: float | None
    samples: int | None
    """Images to calibrate on, where the default is too few for the classes."""
    channels: Channels = "rgb"
    classes: tuple[str, ...] | None = None
    """In the order of the scores, where it is not the data's."""
    why_input: str = ""
    """What photos say of the input, or why they say nothing."""
    guess: Choices | None = None
    """What was chosen before photos were asked."""

    def is_told(self, key: str) -> bool:
        """Whether photos have it otherwise than it was guessed."""
        return self.guess is not None and getattr(self, key) != getattr(self.guess, key)


def offline_weights(arch: str | None = None) -> str:
    """The weights that need no download: those of the first package that is installed and holds
    the architecture, or any."""
    for name, weights in PACKAGED.items():
        if arch in (None, weights.arch) and importlib.util.find_spec(weights.module):
            return f"package:{name}"
    return "scratch"


def arch_of(weights: str) -> str:
    package = PACKAGED.get(weights.removeprefix("package:"))
    return package.arch if package else SMALL_ARCH


def choose_size(shapes: Shapes, target: Target, model: ModelFile | None) -> Size:
    """What a model's file says; else what the target's processor is up to and trains in minutes,
    and no more than the photos have."""
    if model and model.size:
        return model.size
    side = USUAL_SIDE if model and target.cpu not in WEAK_CORES else SMALL_SIDE
    return Size.square(min(side, most_of(shapes)))


def most_of(shapes: Shapes) -> int:
    """The largest input that the photos fill, in steps of 32 pixels."""
    return max(32, shapes.side // 32 * 32)


def choose_fit(shapes: Shapes, model: ModelFile | None) -> Fit:
    if model and model.framing:
        return model.framing.fit
    if model:
        # Most likely image_dataset_from_directory's default, and torchvision's or timm's.
        return "squash" if model.format == "keras" else "crop"
    return "squash" if shapes.are_oblong else "crop"


def _range(model: ModelFile | None) -> InputRange | None:
    if model is None or model.format == "torch":
        return None  # its architecture says it
    return model.input_range or GUESSED_RANGE


def _channels(model: ModelFile | None) -> Channels:
    return "grey" if model and model.depth == 1 else "rgb"


def _interpolation(model: ModelFile | None) -> Interpolation:
    if model and model.framing:
        return model.framing.interpolation
    # image_dataset_from_directory's default, too.
    return "bilinear_no_antialias" if model and model.format == "keras" else "bicubic"


def _orientation(photos: PhotoSet, model: ModelFile | None, is_trained: bool) -> Orientation:
    """What was trained elsewhere has most likely seen photos as they are stored: the loaders of
    Keras, torchvision and timm turn none."""
    if is_trained or not photos.turned:
        return "upright"
    return model.framing.orientation if model and model.framing else "as_stored"


def refuse_unusable(wishes: Wishes, model: ModelFile | None) -> None:
    """
    Raises:
        InputError: wishes that what is given leaves no room for.
    """
    unusable: dict[str, str] = {}
    if model is None:
        unusable["input_range"] = "it is for a model's file, and photos are given"
        package = PACKAGED.get((wishes.weights or "").removeprefix("package:"))
        if package and wishes.arch != package.arch:
            unusable["arch"] = f"{wishes.weights} is of {package.arch}"
    elif model.format == "torch":
        unusable["weights"] = f"those of {model.path} are taken"
        unusable["input_range"] = f"{model.path} is a checkpoint: its architecture says it"
        if wishes.arch != model.arch:
            unusable["arch"] = f"{model.path} says that it is of {model.arch}"
    else:
        unusable["weights"] = unusable["arch"] = f"{model.path} holds its own"
        unusable["epochs"] = f"{model.path} is a whole model, and not trained"
    _refuse(wishes, unusable)


def _refuse(wishes: Wishes, unusable: dict[str, str]) -> None:
    given = {name: why for name, why in unusable.items() if getattr(wishes, name) is not None}
    if given:
        raise InputError(
            "; ".join(f"--{name.replace('_', '-')}: {why}" for name, why in given.items()),
            hint=f"leave {'it' if len(given) == 1 else 'them'} out",
        )


def choose(
    photos: PhotoSet, size: Size, fit: Fit, model: ModelFile | None, wishes: Wishes
) -> Choices:
    """
    Raises:
        InputError: the model's scores are not those of the photos' classes; epochs are wished, and
            nothing is trained.
    """
    count = len(photos.classes)
    whole = model is not None and _is_kept_whole(model, photos.classes, wishes)
    weights = wishes.weights or offline_weights(wishes.arch)
    return Choices(
        weights=weights,
        arch=model.arch if model else wishes.arch or arch_of(weights),
        size=size,
        fit=fit,
        interpolation=_interpolation(model),
        orientation=_orientation(photos, model, is_trained=not whole),
        new_head=not whole and (model is not None or weights != "scratch"),
        input_range=wishes.input_range or _range(model),
        training=None if whole else training(photos.learned, weights, model, wishes.epochs),
        max_drop=MAX_DROP if 100 / photos.judged <= MAX_DROP else None,
        samples=count if count > 256 else None,
        channels=_channels(model),
    )


def training_seconds(choices: Choices, learned: int) -> float | None:
    """How long two idle cores train; None of an architecture that was not timed.

    Args:
        learned: photos that are trained on.
    """
    rate = PHOTOS_A_SECOND.get(choices.arch)
    if choices.training is None or rate is None:
        return None
    pixels = choices.size.height * choices.size.width / SMALL_SIDE**2
    return choices.training.epochs * learned * pixels / rate


def _is_kept_whole(model: ModelFile, classes: tuple[str, ...], wishes: Wishes) -> bool:
    """Whether a model keeps its classifier, and is not trained."""
    if model.gives(len(classes)):
        _refuse(wishes, {"epochs": f"{model.path} keeps its classifier, and is not trained"})
        return True
    if model.format != "torch":
        raise InputError(
            f"{model.path} gives {model.scores} scores, and there are {len(classes)} classes of "
            f"photos: {', '.join(classes[:5])}{', ...' * (len(classes) > 5)}",
            hint="give --data a folder for each of the model's classes",
        )
    return False


def training(
    learned: int, weights: str, model: ModelFile | None, epochs: int | None
) -> TrainingPlan:
    """Small data sets get small batches and more epochs, so that the weights move at all."""
    seen_before = model is not None or weights != "scratch"
    batch = 8 if learned < FEW else 32
    least, most = EPOCHS[seen_before]
    needed = math.ceil(UPDATES[seen_before] / max(1, learned // batch))
    rate = "3.0e-4" if seen_before else "1.0e-3"
    return TrainingPlan(epochs or min(most, max(least, needed)), batch, rate, seen_before)


def is_decidable(photos: PhotoSet) -> bool:
    """Whether a model that names every judged photo right is shown to have learned anything."""
    p_value = stats.exceeds(photos.judged, photos.judged, photos.commonest)
    return p_value < 1 - stats.CONFIDENCE
