"""Recipe x targets -> steps, each with its key and why it would run or be skipped. Pure but for
reading files; loads no heavy library.

    splits -> images/<split>
    source -> finetune ... (the trunk, once for all targets)
    prune-table: how long the layers take that prune is to cut, on the user's device if there is one
    check-source: a file from elsewhere, held to what the recipe says of it
    reference: scores of the float model that every later stage is held to
    <target>/<runtime>: compile, validated
    <target>/<variant>: quantize -> export, each followed by its validation, and a check of the file
    <target>/<variant>/precompile: on a machine that has the target's own device
    <target>/<variant>/on-<device>-<stage>: the same on a device of the user's, with --device
    <target>/choose: the fastest of the variants that passed
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgekit.data.calibration import CalibrationChoice, pick_calibration
from edgekit.data.headers import leave_out_unreadable, read_headers
from edgekit.data.images import DecodeImages
from edgekit.data.inventory import Inventory, take_inventory
from edgekit.data.problem import ProblemKind
from edgekit.data.review import Review, refuse_contradictions, review
from edgekit.data.splits import SplitData
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.engine.artifact import Json, sha256_of
from edgekit.engine.step import Step, with_reasons
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.evaluation import source_check
from edgekit.evaluation.measure import HERE
from edgekit.evaluation.timing import Machine
from edgekit.evaluation.validate import ReferenceScores
from edgekit.models.checkpoint import read_note
from edgekit.models.foreign import LoadForeign
from edgekit.models.timm_models import LoadModel
from edgekit.packages import need_extra
from edgekit.pipeline.brought_weights import check_weights
from edgekit.pipeline.draft import CHECK_SOURCE, REFERENCE, SOURCE, SPLITS, Draft, images
from edgekit.pipeline.seen_images import seen_by_weights
from edgekit.pipeline.target_core import machine_of
from edgekit.pipeline.target_plan import TargetPlan, plan_target
from edgekit.runtimes import find_runtimes
from edgekit.spec.compatibility import compatible_targets
from edgekit.spec.recipe import Recipe
from edgekit.spec.target import Target
from edgekit.stages._curve_images import SPLIT
from edgekit.stages.base import Stage


@dataclass(frozen=True, kw_only=True)
class Plan:
    recipe: Recipe
    steps: tuple[Step, ...]
    targets: tuple[TargetPlan, ...]
    left_out: dict[str, str]
    """Targets that the recipe's model cannot reach at all, each with the reason."""
    seen: frozenset[str]
    """Starts of the digests of all images that the trunk's weights have learned from."""
    review: Review
    """What is odd about the images."""
    weights: dict[str, str]
    """What is to be known of files of weights, by the setting that names them."""
    processors: dict[str, list[str]]
    """What is doubtful of a target's processor, or of the device that stands for it, by target."""

    def record(self) -> Json:
        """What the next plan compares itself with."""
        return {step.id: step.components for step in self.steps}


def make_plan(
    recipe: Recipe,
    targets: list[Target],
    store: Store,
    last: Json | None = None,
    force: tuple[str, ...] = (),
    board: TimingDevice | None = None,
) -> Plan:
    """Plan a build.

    Args:
        last: `Plan.record()` of the build before, to say what changed since.
        force: names of steps to run even if they are cached, with all that follows.
        board: the user's device that stands for one of the targets.

    Raises:
        InputError: data, weights or gates that cannot work, before anything runs.
        MissingPackage: edgekit is installed without what building needs.
    """
    need_extra("build")
    weights = check_weights(recipe)
    inventory = _in_order(recipe, take_inventory(recipe.data, store.root / "digests"))
    refuse_contradictions(inventory, recipe.data)
    inventory = leave_out_unreadable(inventory, recipe.data)
    seen = seen_by_weights(recipe, inventory)
    draft, judged = Draft(recipe, inventory), recipe.data.evaluate_on
    splits = draft.splits  # what is wrong with the images is told before the model is planned
    draft.add(SPLITS, SplitData(recipe.data, inventory), {})
    judge = images(judged)
    draft.add(judge, draft.decode(judged), {"splits": SPLITS})
    machine = board if board and board.is_timed else HERE
    trunk, reference = _plan_trunk(draft, lambda stage: machine_of(stage, targets, machine, store))
    scores = ReferenceScores(recipe.model)
    draft.add(REFERENCE, scores, {"model": reference, "images": judge})
    kept = trunk[trunk.index(reference) :]
    _refuse_names(draft, [target.name for target in targets])
    targets, left_out = compatible_targets(recipe.model, targets)
    _refuse_idle_stages(recipe, targets)
    planned = tuple(
        plan_target(draft, t, kept, judge, board if board and board.target == t else None, store)
        for t in targets
    )
    steps = tuple(with_reasons(list(draft.steps.values()), store, last or {}, force))
    return Plan(
        recipe=recipe,
        steps=steps,
        targets=planned,
        left_out=left_out,
        seen=frozenset(seen),
        review=review(inventory, splits, recipe.data, _decoded(draft), _is_unproven(recipe)),
        weights=weights,
        processors={},
    )


def _decoded(draft: Draft) -> set[str]:
    """Names of the images that the steps decode."""
    actions = [step.action for step in draft.steps.values()]
    return {s.name for a in actions if isinstance(a, DecodeImages) for s in a.samples()}


def _refuse_names(draft: Draft, names: list[str]) -> None:
    """A target's steps begin with its name when they are printed.

    Raises:
        InputError: they would be printed like those of another target, or like a shared step.
    """
    if len(set(names)) < len(names):
        raise InputError(f"--target: a target is named twice: {', '.join(sorted(names))}")
    taken = [name for name in names if any(f"{id}/".startswith(f"{name}/") for id in draft.steps)]
    if taken:
        raise InputError(
            f"a target cannot be named {', '.join(sorted(taken))}: a step bears that name",
            hint="rename the target's file, or give it a name: key",
        )


def _in_order(recipe: Recipe, inventory: Inventory) -> Inventory:
    """The data's classes in the order of the model's scores, where the recipe gives it.

    Raises:
        InputError: these are not the data's classes.
    """
    order, own = recipe.model.classes, inventory.listing.classes
    if order is None:
        return inventory
    if set(order) != set(own):
        lacking = ", ".join(sorted(set(own) - set(order))) or "none"
        strange = ", ".join(sorted(set(order) - set(own))) or "none"
        raise InputError(
            f"model.classes are not the data's classes: lacking {lacking}; unknown {strange}",
            hint="name every class of the data once, in the order of the model's scores",
        )
    settled = tuple(p for p in inventory.listing.problems if p.kind is not ProblemKind.ORDER)
    return replace(inventory, listing=replace(inventory.listing, classes=order, problems=settled))


def _refuse_idle_stages(recipe: Recipe, targets: list[Target]) -> None:
    """A stage of which a target has nothing costs accuracy there, and gives nothing for it.

    Raises:
        InputError: naming the target and the stage's reason.
    """
    for target in targets:
        runtimes = [find_runtimes()[v.runtime] for v in target.variants]
        for stage in recipe.stages:
            try:
                stage.check_targets(runtimes)
            except InputError as error:
                raise InputError(f"{target.name}: {error.message}", hint=error.hint) from None


def _plan_trunk(draft: Draft, machine: Callable[[Stage], Machine]) -> tuple[list[StepId], StepId]:
    """Steps that leave a float model, and the one that is the float reference.

    Args:
        machine: what a stage times layers and networks on.
    """
    recipe = draft.recipe
    kind = LoadModel if recipe.model.format == "torch" else LoadForeign
    load = kind(recipe.model, recipe.data.framing)
    trunk = [draft.add(SOURCE, load, {"splits": SPLITS})]
    if _is_unproven(recipe):
        _plan_source_check(draft)
    reference = trunk[0]
    for i, stage in enumerate(recipe.stages):
        if stage.scope != "trunk":
            continue
        trunk.append(_plan_trunk_stage(draft, stage.timed_on(machine(stage)), trunk[-1]))
        if stage.trains and all(s.trains for s in recipe.stages[:i]):
            reference = trunk[-1]
    return trunk, reference


def _plan_trunk_stage(draft: Draft, stage: Stage, model: StepId) -> StepId:
    """A stage that all targets share, after the steps of its own that it asks for."""
    inputs = {"model": model}
    if stage.images:
        decoded = images(stage.images)
        if decoded not in draft.steps:
            draft.add(decoded, draft.decode(stage.images), {"splits": SPLITS})
        inputs[stage.images] = decoded
    if stage.shows_curve and SPLIT in draft.splits:
        shown = images(SPLIT)
        if shown not in draft.steps:
            draft.add(shown, draft.decode(SPLIT), {"splits": SPLITS})
        inputs[SPLIT] = shown
    for role, action in stage.model_steps().items():
        inputs[role] = draft.add(draft.free(f"{stage.stage}-{role}"), action, {"model": model})
    of_the_data = {role: id for role, id in inputs.items() if role not in ("model", SPLIT)}
    for role, action in stage.split_steps(draft.recipe.data.image_size).items():
        inputs[role] = draft.add(draft.free(role), action, {"splits": SPLITS, **of_the_data})
    files = {name: sha256_of(path) for name, path in stage.files().items()}
    return draft.add(draft.free(stage.stage), stage, inputs, files)


def _is_unproven(recipe: Recipe) -> bool:
    """Whether what the model expects is known from the recipe alone: its file is neither edgekit's
    own, whose card says it, nor trained further here."""
    if recipe.model.format != "torch":
        return True
    file = recipe.model.weights_file() if recipe.model.is_file else None
    trained = any(stage.trains for stage in recipe.stages)
    return file is not None and not trained and not read_note(file)


def _plan_source_check(draft: Draft) -> None:
    """Whether a file from elsewhere is what the recipe says, asked of training images."""
    recipe, name = draft.recipe, images("check-source")
    choice = CalibrationChoice(source_check.IMAGES, every_class=False)
    used = pick_calibration(draft.splits, draft.inventory.digests, choice, recipe.data.evaluate_on)
    headers = read_headers(draft.inventory)
    turned = any(headers[sample.name].turned for sample in used)
    ways = recipe.data.framing.way.others(turned)
    draft.add(name, draft.decode("calibration", choice, ways), {"splits": SPLITS})
    check = source_check.CheckSource(recipe.model, ways)
    draft.add(CHECK_SOURCE, check, {"model": SOURCE, "images": name})
