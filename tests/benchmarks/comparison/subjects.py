"""The models that are compared: each a recipe up to its trained float model, and its images.

edgekit decodes the images and trains the model, once, in its store. Everybody gets the same: the
peers as a torch model and normalised arrays, edgekit's own recipes by their first stages.
"""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from edgekit.engine.artifact import Artifact, Json
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.pipeline.plan import Plan, make_plan
from edgekit.pipeline.run import execute
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import Target
from tests.benchmarks import imagenet_agreement

ROOT = Path(__file__).parents[3]
QUICK_IMAGES = 32
QUICK_CALIBRATION = 16


@dataclass(frozen=True)
class Subject:
    """A model on its data.

    `recipe` is a recipe as its YAML gives it: model, data, the stages that train, quantize.
    """

    name: str
    images: str
    recipe: Json
    base: Path
    """The folder to which the recipe's paths refer."""
    quick: bool = False
    sharing: Json = field(default_factory=dict)
    """Fields of quantize for a method that holds images back, where there are too few for both."""

    def with_stages(self, before: tuple[Json, ...], quantize: Json) -> Json:
        """The recipe with other stages behind the training; its images stay the same.

        Args:
            before: stages between the training and quantize.
            quantize: fields for the quantize stage, beside those that choose images.
        """
        stages = [_named(stage) for stage in self.recipe["stages"]]
        at = next(i for i, stage in enumerate(stages) if "quantize" in stage)
        chosen = ("samples", "every_class")
        own = {k: v for k, v in (stages[at]["quantize"] or {}).items() if k in chosen}
        if self.quick:
            own |= {"samples": QUICK_CALIBRATION, "every_class": False}
        if quantize.get("method") == "auto":
            own |= {"held_back": QUICK_CALIBRATION} if self.quick else self.sharing
        last = [{"quantize": {**own, **quantize}}, {"export": {"preprocess": "baked"}}]
        kept = {key: self.recipe[key] for key in ("model", "data")}
        return copy.deepcopy({**kept, "stages": [*stages[:at], *before, *last]})

    def plan(self, recipe: Json, runtime: str, store: Store, force: tuple[str, ...] = ()) -> Plan:
        """Plan a recipe for this machine and one runtime.

        Raises:
            EdgekitError: edgekit refuses the recipe.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "compared.yaml"
            path.write_text(yaml.safe_dump(recipe, sort_keys=False))
            loaded = load_recipe(path)
        target = Target(
            name="host", description="this machine", runtimes=(runtime,), cpu="host", threads=1
        )
        return make_plan(loaded, [target], store, force=force)


@dataclass(frozen=True)
class Given:
    """What everybody starts from."""

    subject: Subject
    artifacts: dict[str, Artifact]

    @cached_property
    def card(self) -> Card:
        return Card.model_validate(self.artifacts["float"].metadata["card"])

    @property
    def size(self) -> int:
        return self.card.image_size.height

    @property
    def form(self) -> InputForm:
        """How pixels are normalised for the torch model."""
        return InputForm(dtype="float32", mean=self.card.mean, std=self.card.std)

    @cached_property
    def model(self) -> Any:
        """The trained torch model in eval mode; it takes normalised float32 NCHW."""
        return timm_models.restore(self.artifacts["float"])[0]

    @cached_property
    def calibration(self) -> NDArray[np.float32]:
        """Normalised, shape (images, height, width, 3)."""
        images: NDArray[np.float32] = self.form.prepare(self._load("images/calibration", "images"))
        return images

    @cached_property
    def train(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Normalised training images, (images, height, width, 3), larger than `size` by a margin to
        crop from, and their labels."""
        count = 2 * QUICK_IMAGES if self.subject.quick else None
        images, labels = (self._load("images/train", part)[:count] for part in ("images", "labels"))
        return self.form.prepare(images), labels

    def judge(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
        """Images that nobody has seen, uint8, their labels and the torch model's scores."""
        count = QUICK_IMAGES if self.subject.quick else None
        images = self._load("judge", "images"), self._load("judge", "labels")
        pick = np.random.default_rng(0).permutation(len(images[0]))[:count]
        pick.sort()
        scores = np.load(self.artifacts["reference"].file("scores.npy"))
        return images[0][pick], images[1][pick], scores[pick]

    def _load(self, name: str, part: str) -> NDArray[Any]:
        loaded: NDArray[Any] = np.load(self.artifacts[name].file(f"{part}.npy"))
        return loaded


def prepare(subject: Subject, store: Store) -> Given:
    """Train the float model and decode the images, or find both in the store."""
    plan = subject.plan(subject.with_stages((), {}), "onnxruntime", store)
    shared = tuple(step for step in plan.steps if not step.id.startswith("host/"))
    ran = execute(replace(plan, steps=shared, targets=()), store, Silent()).artifacts
    artifacts: dict[str, Artifact] = {str(step): artifact for step, artifact in ran.items()}
    reference = next(step for step in shared if step.id == "reference")
    for name, step in (("float", "model"), ("judge", "images")):
        artifacts[name] = ran[reference.inputs[step]]
    return Given(subject, artifacts)


def shipped(imagenet: Path | None, quick: bool) -> tuple[list[Subject], dict[str, str]]:
    """The four models of the comparison, and those that are skipped, each with the reason."""
    here = Path(__file__).with_name("mobilenetv3_small.yaml")
    files = {
        "mobilenetv3-small": here,
        "efficientnet-lite0": ROOT / "recipes/efficientnet_lite0_int8.yaml",
        "efficientvit-b0": ROOT / "recipes/efficientvit_int8.yaml",
    }
    subjects = [from_file(path, quick, name) for name, path in files.items()]
    public = {f"{name}-imagenet": name for name in ("efficientnet-lite0", "mobilenet-v2")}
    if imagenet is None or not (imagenet / "synsets.json").is_file():
        where = imagenet or "no folder was given"
        reason = f"no ImageNet sample ({where}): give --imagenet or set EDGEKIT_IMAGENET"
        return subjects, dict.fromkeys(public, reason)
    sharing = {"samples": 200, "held_back": 100}
    for name, model in public.items():
        recipe = imagenet_agreement.recipe(imagenet, imagenet_agreement.MODELS[model], "ptq")
        subjects.append(Subject(name, "ImageNet sample", recipe, ROOT, quick, sharing))
    return subjects, {}


def from_file(path: Path, quick: bool, name: str | None = None) -> Subject:
    """A model of one's own: any recipe with a quantize stage."""
    recipe = yaml.safe_load(path.read_text())
    images = {"elpv": "ELPV solar cells"}.get(recipe["data"]["source"], recipe["data"]["source"])
    return Subject(name or path.stem, images, recipe, path.parent, quick)


def _named(stage: str | Json) -> Json:
    return {stage: {}} if isinstance(stage, str) else stage
