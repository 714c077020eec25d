"""The steps of real builds, with what each took: for simulations."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

import edgekit
from edgekit.agent.agent import cpu_name
from edgekit.engine.action import library_versions
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import execute
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target
from tests.conftest import write_images

FILE = Path(__file__).with_name("step_times.json")
ARCHITECTURES = ("mobilenetv3_small_050", "resnet18")
LIBRARIES = ("torch", "timm", "onnxruntime", "ai-edge-litert", "litert-torch")


@dataclass(frozen=True)
class RecordedStep:
    name: str
    needs: tuple[int, ...]
    """Places of other steps in the build."""
    seconds: float
    bytes: int
    times: bool
    is_trunk: bool
    """All targets and variants share it."""


@dataclass(frozen=True)
class RecordedBuild:
    arch: str
    steps: tuple[RecordedStep, ...]


def record_builds(path: Path) -> None:
    """Build small recipes for `rpi`, each from an empty store, and write down what steps took."""
    with tempfile.TemporaryDirectory() as text:
        work = Path(text)
        write_images(work / "images", count=60)
        builds = [_recorded(work, arch) for arch in ARCHITECTURES]
    found = {
        "recorded": datetime.now(UTC).date().isoformat(),
        "edgekit": edgekit.__version__,
        "libraries": library_versions(LIBRARIES),
        "cpu": cpu_name(),
        "builds": [asdict(build) for build in builds],
    }
    path.write_text(json.dumps(found, indent=1) + "\n")


def _recorded(work: Path, arch: str) -> RecordedBuild:
    recipe = {
        "model": {"arch": arch, "weights": "scratch"},
        "data": {"source": "imagefolder", "path": "images", "image_size": 96},
        "stages": [{"finetune": {"epochs": 5}}, {"quantize": {"method": "ptq"}}, {"export": {}}],
        "allow_untrained": True,
    }
    (work / f"{arch}.yaml").write_text(yaml.safe_dump(recipe))
    store = Store(work / arch)
    plan = make_plan(load_recipe(work / f"{arch}.yaml"), [load_target("rpi")], store)
    build = execute(plan, store, Silent())
    made = [step for step in plan.steps if step.id in build.artifacts]
    places = {step.id: place for place, step in enumerate(made)}
    steps = []
    for step in made:
        artifact = build.artifacts[step.id]
        steps.append(
            RecordedStep(
                name=step.id,
                needs=tuple(places[name] for name in step.inputs.values() if name in places),
                seconds=artifact.seconds,
                bytes=sum(entry.bytes for entry in artifact.files.values()),
                times=step.action.times,
                is_trunk=not step.id.target,
            )
        )
    return RecordedBuild(arch, tuple(steps))


def read_builds(path: Path = FILE) -> list[RecordedBuild]:
    found = json.loads(path.read_text())["builds"]
    return [
        RecordedBuild(
            one["arch"],
            tuple(RecordedStep(**{**s, "needs": tuple(s["needs"])}) for s in one["steps"]),
        )
        for one in found
    ]
