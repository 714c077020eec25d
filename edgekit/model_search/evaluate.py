"""What each rung shows of a candidate. Only the steps that a figure needs are run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.data.inventory import take_inventory
from edgekit.engine.artifact import Artifact
from edgekit.engine.crew import Crew
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Observer
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError, Unsupported
from edgekit.evaluation.metrics import measurement
from edgekit.evaluation.validate import file_bytes, read_validation
from edgekit.evidence import Evidence
from edgekit.model_search.built import MACHINES, take_accuracy
from edgekit.model_search.front import latency_or_endless
from edgekit.model_search.latencies import Stopwatch, time_file
from edgekit.model_search.points import PointRecord
from edgekit.model_search.relative_latency import TimedFile
from edgekit.model_search.rungs import free_recipe, full_recipe, learned_stages, short_recipe
from edgekit.model_search.selection import SelectionSource, divided_again
from edgekit.pipeline.draft import images
from edgekit.pipeline.plan import Plan, make_plan
from edgekit.pipeline.rows import Row
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.spec.recipe import Recipe
from edgekit.spec.search_settings import SearchSettings
from edgekit.spec.target import Target
from edgekit.stages.base import Stage

JUDGE = images("validation")
"""The step that decodes the held-back images."""
SAME_SIZE = 0.01
"""Share by which files of the same operators differ: random weights do not compress alike."""


@dataclass
class Lab:
    """Where candidates are judged."""

    target: Target
    store: Store
    observer: Observer
    watch: Stopwatch
    settings: SearchSettings
    crew: Crew | None = None

    def source(self, recipe: Recipe, most: int | None = None) -> SelectionSource:
        """The training side of a recipe's images, divided again.

        Args:
            most: training images to learn from.
        """
        inventory = take_inventory(recipe.data, self.store.root / "digests")
        settings = self.settings
        return divided_again(recipe.data, inventory, settings.held_back, settings.seed, most)

    def plan(self, recipe: Recipe) -> Plan:
        """
        Raises:
            Unsupported: the target has nothing that could run it.
        """
        plan = make_plan(recipe, [self.target], self.store)
        if not plan.targets:
            why = plan.left_out.get(self.target.name, "nothing can be built")
            raise Unsupported(f"{self.target.name}: {why}")
        return plan


def judge_free(lab: Lab, recipe: Recipe, record: PointRecord) -> TimedFile:
    """Size, operations and latency of the untrained graph, of the variant that is the fastest.

    Returns:
        its file.

    Raises:
        EdgekitError: no variant of the target can be made of it, with the reason of each.
    """
    plan = lab.plan(free_recipe(recipe, lab.source(recipe, lab.settings.images)))
    target = plan.targets[0]
    reasons, found = dict(target.unreachable), []
    with Executor(lab.store, lab.observer, lab.crew) as executor:
        for row in (row for row in target.rows if row.last):
            try:
                found.append(_free_figures(lab, plan, row, executor, record))
            except MACHINES:
                raise
            except EdgekitError as error:
                reasons[row.variant] = error.message
    if not found:
        told = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        raise Unsupported(f"no variant of {lab.target.name} can be made: {told}")
    fastest, file = min(found, key=lambda pair: latency_or_endless(pair[0]))
    for name in ("variant", "runtime", "precision", "parameters", "macs", "size", "latency"):
        setattr(record, name, getattr(fastest, name))
    record.no_latency = fastest.no_latency
    return file


def _free_figures(
    lab: Lab, plan: Plan, row: Row, executor: Executor, record: PointRecord
) -> tuple[PointRecord, TimedFile]:
    found = record.model_copy()
    check = row.model.sibling("check")
    known = {step.id for step in plan.steps}
    wanted = [JUDGE, row.model, *([check] if check in known else [])]
    executor.perform_needed(plan.steps, wanted)
    _describe(found, executor.artifacts[row.model], row)
    file = TimedFile(executor.artifacts[row.model], row.runtime, executor.artifacts[JUDGE])
    time_file(lab.watch, found, file)
    return found, file


def _describe(found: PointRecord, artifact: Artifact, row: Row) -> None:
    metadata = artifact.described_by(CompiledMetadata)
    found.variant, found.runtime, found.precision = row.variant, row.runtime, metadata.precision
    found.parameters, found.macs = metadata.card.parameters, metadata.card.macs
    size = file_bytes(row.runtime, artifact) / 1e6
    found.size = measurement(size, "MB", Evidence.MEASURED, "bytes of the model file")


@dataclass(frozen=True)
class Trained:
    """What a training came to."""

    right: NDArray[np.bool_]
    """Which held-back images are classified rightly."""
    checkpoint: Artifact | None
    """Its float weights; None where nothing of them was changed."""
    seen: frozenset[str]


def judge_short(lab: Lab, recipe: Recipe, record: PointRecord) -> Trained:
    """Accuracy after a short training. The latency stays that of the free rung where the file is
    like that one.

    Raises:
        EdgekitError: it cannot be trained or compiled.
    """
    few = short_recipe(recipe, lab.source(recipe, lab.settings.images), lab.settings.epochs)
    return _judge_trained(lab, few, recipe, record, timed=False)


def judge_full(lab: Lab, recipe: Recipe, record: PointRecord) -> Trained:
    """All figures of what the recipe makes, but for the images that are held back.

    Raises:
        EdgekitError: it cannot be trained or compiled.
    """
    return _judge_trained(lab, full_recipe(recipe, lab.source(recipe)), recipe, record, timed=True)


def _judge_trained(
    lab: Lab, made: Recipe, recipe: Recipe, record: PointRecord, timed: bool
) -> Trained:
    plan = lab.plan(made)
    row = _last_row(plan, record.variant)
    with Executor(lab.store, lab.observer, lab.crew) as executor:
        executor.perform_needed(plan.steps, [JUDGE, row.validation])
        artifacts = executor.artifacts
    untrained = record.model_copy()
    _describe(record, artifacts[row.model], row)
    take_accuracy(record, read_validation(artifacts[row.validation]))
    if timed or not _is_alike(record, untrained):
        file = TimedFile(artifacts[row.model], row.runtime, artifacts[JUDGE])
        time_file(lab.watch, record, file)
    scores = np.load(artifacts[row.validation].file("scores.npy"))
    labels = np.load(artifacts[JUDGE].file("labels.npy"))
    return Trained(scores.argmax(axis=1) == labels, _checkpoint(plan, recipe, artifacts), plan.seen)


def _is_alike(one: PointRecord, other: PointRecord) -> bool:
    """Files of one network and precision: pruning or `method: auto` may have left others."""
    if one.size is None or other.size is None or one.precision != other.precision:
        return False
    return one.macs == other.macs and abs(one.size.value / other.size.value - 1) < SAME_SIZE


def _last_row(plan: Plan, variant: str) -> Row:
    for row in plan.targets[0].rows:
        if row.last and row.variant == variant:
            return row
    why = plan.targets[0].unreachable.get(variant, "it leaves no file")
    raise Unsupported(f"{variant}: {why}")


def _checkpoint(plan: Plan, recipe: Recipe, artifacts: dict[StepId, Artifact]) -> Artifact | None:
    """The weights after the last stage that a file can keep."""
    learned = [stage.stage for stage in recipe.stages[: learned_stages(recipe)]]
    if not learned or recipe.model.format != "torch":
        return None
    trunk = [artifacts[step.id] for step in plan.steps if isinstance(step.action, Stage)]
    return trunk[len(learned) - 1]
