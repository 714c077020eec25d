"""prune: cut whole channels, as many as a budget asks for, and train what is left.

What to cut is decided by what it saves on the runtime that will run it: milliseconds by a measured
table, or operations, parameters or bytes. Afterwards the pruned network is timed against the dense
one, and a cut that saves operations and no time is refused. The accuracy is recovered by training
with the unpruned network as the teacher.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, field_validator

from edgekit.cycle_model.file_estimate import RUNTIMES
from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json
from edgekit.engine.temporary import temporary_folder
from edgekit.engine.user_paths import UserFunction, folder_of
from edgekit.errors import InputError
from edgekit.evaluation.measure import HERE
from edgekit.evaluation.timing import Machine
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.models.float_metadata import FloatMetadata
from edgekit.models.pruned import Budget, KernelPrecision, Pruned, PruningGain
from edgekit.models.source import ModelSource
from edgekit.pruning import cutting, kept_cut
from edgekit.pruning.importance import CRITERIA, Importance, importance_of, plugin_files
from edgekit.pruning.latency_trial import LatencyTrial, is_idle, middle, refuse_idle
from edgekit.pruning.layer_latencies import LatencyTable, Table, network_of, read_table
from edgekit.pruning.network import Network
from edgekit.pruning.record import cuts_of
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime, library_errors
from edgekit.stages._curve_images import curve_images
from edgekit.stages._recover import Recover, teacher_for
from edgekit.stages._recovery import Recovery
from edgekit.stages.base import Stage, Where

FUNCTION_NAME = re.compile(r"\w+(\.\w+)*:\w+")


class Prune(Stage):
    version: ClassVar[int] = 4
    distils: ClassVar[bool] = True
    images: ClassVar[Literal["train", "calibration"] | None] = "train"

    stage: Literal["prune"] = "prune"
    keep: float = Field(gt=0, lt=1)
    """What may be left of the measure that `by` names, as a share of the unpruned network's."""
    runtime: str
    """The runtime whose time must fall: its kernels are timed, and the cut is tried on it."""
    by: Budget = "latency"
    """`latency`: by a table of this network's layers, measured on the runtime once and kept;
    `macs`, `parameters`, or `size` (the bytes of the file)."""
    precision: KernelPrecision = "int8"
    """Of the kernels that are timed: what the recipe ships."""
    importance: str = "taylor"
    """What a channel's worth is read from: `taylor` (the loss on training images), `magnitude`
    (its weights), `bn_scale`, or `package.module:function` of your own."""
    round_to: int = Field(8, ge=1, le=4096)
    """Widths become multiples of this: kernels work on whole tiles, and may be slower beside."""
    steps: int = Field(1, ge=1, le=10)
    """Cuts to get there, with a short training after each."""
    recover: Recover | None = Recover()
    """The training after the cut; null for none."""
    on: Where = "host"
    """Where it is timed without `--device`: on the machine that builds, or, with `target`, by
    estimates for the target's core, a Raspberry Pi's (docs/arm-estimate.md)."""
    force: bool = False
    """Keep a cut that saves operations and no time."""
    _machine: Machine = PrivateAttr(HERE)
    """What layers and networks are timed on."""
    _folder: Path = PrivateAttr(Path())

    def model_post_init(self, context: Any) -> None:
        self._folder = folder_of(context)

    @property
    def _user_function(self) -> UserFunction | None:
        return None if self.importance in CRITERIA else UserFunction(self.importance, self._folder)

    @field_validator("runtime")
    @classmethod
    def _known_runtime(cls, value: str) -> str:
        if value not in find_runtimes():
            raise ValueError(f"no runtime {value!r}; known: {', '.join(find_runtimes())}")
        return value

    @field_validator("importance")
    @classmethod
    def _known_importance(cls, value: str) -> str:
        if value not in CRITERIA and not FUNCTION_NAME.fullmatch(value):
            known = ", ".join(CRITERIA)
            raise ValueError(f"{known} or package.module:function expected, not {value!r}")
        return value

    def used_libraries(self) -> tuple[str, ...]:
        runtime = find_runtimes()[self.runtime]
        own = ("torch", "timm", "torchvision", "torch-pruning")
        return (*own, *(name for name in runtime.libraries if name not in own))

    @property
    def shows_curve(self) -> bool:
        return self.recover is not None

    def settings(self) -> Json:
        fields = {**super().settings(), "runtime_version": find_runtimes()[self.runtime].version}
        if self.recover and self.recover.teacher and self.recover.teacher.is_file:
            # The path does not matter; files() brings the content's digest into the key.
            del fields["recover"]["teacher"]["weights"]
        if self.on == "host":
            del fields["on"]  # so that the key stays what it was
        # The machine that builds is not in the key: what was trained is kept when it changes.
        return fields if self._machine == HERE else {**fields, "machine": self._machine.identity()}

    @property
    def estimates(self) -> bool:
        return self.on == "target"

    def timed_on(self, machine: Machine) -> Self:
        stage = self.model_copy()
        stage._machine = machine
        return stage

    def files(self) -> dict[str, Path]:
        source = self.recover.teacher if self.recover else None
        teacher = source and source.weights_file("prune.recover.teacher.weights")
        own = plugin_files(self._user_function) if self._user_function else {}
        return {**own, **({"teacher": teacher} if teacher else {})}

    def teachers(self) -> dict[str, ModelSource]:
        teacher = self.recover.teacher if self.recover else None
        return {"prune.recover.teacher": teacher} if teacher else {}

    def model_steps(self) -> dict[str, Action]:
        if self.by != "latency":
            return {}
        runtime = find_runtimes()[self.runtime]()
        return {"table": LatencyTable(runtime, self.precision, self._machine)}

    def check_targets(self, runtimes: Collection[type[Runtime]]) -> None:
        names = tuple(dict.fromkeys(runtime.name for runtime in runtimes))
        if self.runtime not in names:
            raise InputError(
                f"prune.runtime: no variant of the target runs on {self.runtime}, so a cut by its "
                "time says nothing of the target's",
                hint=f"runtimes of the target: {', '.join(names)}",
            )
        if self.estimates and self.runtime not in RUNTIMES:
            raise InputError(
                f"prune.on: {self.runtime} is not emulated, so nothing can be estimated of it",
                hint=f"leave `on: target` out, or prune for {' or '.join(RUNTIMES)}",
            )

    def run(self, inputs: Inputs, into: Path, context: Context) -> FloatMetadata:
        table = read_table(inputs["table"]) if self.by == "latency" else None
        images = np.load(inputs["train"].file("images.npy"), mmap_mode="r")
        labels = np.load(inputs["train"].file("labels.npy"))
        dense, card = timm_models.restore(inputs["model"])
        work = _Pruning(self, dense, card, images, labels, table, context)
        recovery = None
        if self.recover:
            teacher, shown_on = teacher_for(self.recover, dense, card), curve_images(inputs)
            recovery = Recovery(self.recover, teacher, images, labels, shown_on, context)
        losses: list[float] = []
        curve = None
        model, own, trial = dense, card, None
        for number in range(1, self.steps + 1):
            model, own, trial = work.cut(number, model, own)
            if recovery:
                train = recovery.between if number < self.steps else recovery.to_the_end
                model, curve = train(f"train-{number}", model, own)
                losses += curve.losses
        assert trial is not None  # there is a last step
        metadata = timm_models.save(model, own, into)
        pruned = work.record(model, own, trial)
        told = [pruned.remark]
        if recovery and curve:
            taught = recovery.teacher.remark if recovery.teacher else None
            told = [taught, pruned.remark, recovery.remark(curve)]
        return metadata.updated(
            pruning=pruned,
            remark="; ".join(filter(None, told)) or None,
            training={"loss": losses},
            curve=curve,
        )


class _Pruning:
    """One pruning: the unpruned network, and what cuts of it are held to."""

    def __init__(
        self,
        stage: Prune,
        dense: Any,
        card: Card,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        table: Table | None,
        context: Context,
    ) -> None:
        self.stage = stage
        self.dense = dense
        self.card = card
        self.images = images
        self.labels = labels
        self.table = table
        self.context = context
        self.network = network_of(dense, card)
        self.measure = cutting.cost_of(stage.by, self.network, table)
        self.total = self.measure.total(self.network.dense)

    def cut(self, number: int, model: Any, card: Card) -> tuple[Any, Card, PruningGain | None]:
        """The network after a cut: as it was left before a kill, or cut now and left so."""
        folder = self.context.partial / f"cut-{number}"
        kept = kept_cut.restore(folder)
        if kept:
            return kept
        trial = None
        if number < self.stage.steps:
            share = self.stage.keep ** (number / self.stage.steps)
            made = self._to_budget(model, card, share * self.total)
        else:
            made, trial = self._to_measured(model, card)
        kept_cut.keep(made, trial, folder)
        return made.model, made.card, trial

    def _to_budget(self, model: Any, card: Card, budget: float) -> cutting.Cut:
        stage = self.stage
        return cutting.cut(
            model,
            card,
            by=stage.by,
            table=self.table,
            budget=budget,
            score=self._score,
            round_to=stage.round_to,
            total=self.total,
            keep=stage.keep,
        )

    def _to_measured(self, model: Any, card: Card) -> tuple[cutting.Cut, PruningGain]:
        """Cut until the runtime shows what was asked, not only the table."""
        stage, runtime = self.stage, find_runtimes()[self.stage.runtime]()
        aim = stage.keep
        with temporary_folder() as folder:
            pixels = middle(self.images, self.card.image_size)
            progress, machine = self.context.progress, stage._machine
            trials = LatencyTrial(runtime, stage.precision, pixels, folder, progress, machine)
            with library_errors(runtime, "compile", folder):
                dense = trials.compile(self.dense, self.card)
            made = self._to_budget(model, card, stage.keep * self.total)
            for attempt in range(1, cutting.MAX_CUTS + 1):
                with library_errors(runtime, "compile", folder):
                    trial = trials.compare(trials.compile(made.model, made.card), dense)
                shown, predicted = trial.shown(stage.by), made.cost / self.total
                if shown is None or shown <= stage.keep or attempt == cutting.MAX_CUTS:
                    break
                lower = cutting.aim_lower(aim, predicted, shown, stage.keep)
                if lower is None:
                    break
                try:
                    made = self._to_budget(model, card, lower * self.total)
                except cutting.TooDeep:
                    break  # what was made stays, and the record says what it lacks
                aim = lower
        if not stage.force:
            left, where = made.card.macs / self.card.macs, stage._machine.name
            refuse_idle(trial, runtime.name, left, stage.precision, where)
        return made, trial

    def _score(self, network: Network, model: Any, card: Card) -> Importance:
        name, own = self.stage.importance, self.stage._user_function
        return importance_of(name, model, card, network.groups, self.images, self.labels, own)

    def record(self, model: Any, card: Card, trial: PruningGain) -> Pruned:
        stage, table = self.stage, self.table
        groups = cuts_of(self.network, model)
        evidence = None
        if table:
            layers = len(table.entries)
            evidence = {"layers": layers, "rounds": table.rounds, "disturbed": table.disturbed}
        return Pruned(
            **stage.model_dump(include={"by", "keep", "runtime", "precision", "importance"}),
            round_to=stage.round_to,
            groups=groups,
            predicted=self.measure.share([group.after for group in groups]),
            macs=(self.card.macs, card.macs),
            parameters=(self.card.parameters, card.parameters),
            trial=trial,
            machine=stage._machine.name,
            threads=stage._machine.threads,
            table=evidence,
            forced=is_idle(trial.latency),
        )
