"""What is searched, and how: everything that a search depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgekit import __version__
from edgekit.data.inventory import take_inventory
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.engine.artifact import digest_of
from edgekit.engine.crew import Crew
from edgekit.engine.observer import Observer
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError, InputError
from edgekit.evaluation.gates import Gates
from edgekit.evaluation.measure import measuring_identity
from edgekit.model_search.axes import size_of
from edgekit.model_search.built import MACHINES
from edgekit.model_search.evaluate import Lab, judge_free
from edgekit.model_search.latencies import stopwatch
from edgekit.model_search.limits import Limit
from edgekit.model_search.points import PointRecord
from edgekit.model_search.report import SearchReport
from edgekit.model_search.space import Space, Vary
from edgekit.models.architectures import refuse_unknown
from edgekit.models.source import ModelSource
from edgekit.pipeline.plan import make_plan
from edgekit.spec.fields import value_text
from edgekit.spec.recipe import Recipe
from edgekit.spec.search_settings import SearchSettings
from edgekit.spec.target import Target
from edgekit.stages.prune import Prune

PROPOSALS = 2
"""Raised where other candidates are proposed from the same answers."""
BY_ITSELF = "the recipe as it stands"
MULTIPLE = "'latency<=0.6x tf_efficientnet_lite0'"


@dataclass(frozen=True)
class SearchTask:
    recipe: Recipe
    vary: Vary
    space: Space
    limits: Sequence[Limit]
    target: Target
    store: Store
    observer: Observer
    folder: Path
    """For the checkpoints and recipes of the front."""
    board: TimingDevice | None = None
    crew: Crew | None = None

    @property
    def settings(self) -> SearchSettings:
        return self.recipe.search or SearchSettings()

    @property
    def most(self) -> int:
        """Candidates that are compared at the most."""
        return min(self.settings.candidates, size_of(self.space.axes))

    @property
    def reference(self) -> str:
        """The architecture that latency is limited to a multiple of; empty where it is not."""
        return next((limit.reference for limit in self.limits if limit.reference), "")

    @property
    def name(self) -> str:
        return f"{self.recipe.name}-{self.target.name}"

    def key(self, latency_is: str) -> str:
        """Of all that a candidate's figures, and the order of the candidates, depend on."""
        # More candidates, or more of the front, go on with the same search.
        how = self.settings.model_dump(exclude={"over", "limits", "candidates", "front", "margin"})
        axes = {p: [value_text(v) for v in values] for p, values in self.space.axes.items()}
        images = take_inventory(self.recipe.data, self.store.root / "digests").fingerprint
        said = self.recipe.model_dump(mode="json", exclude={"search", "name", "report"})
        limits = sorted(map(str, self.limits))
        target = self.target.model_dump(mode="json")
        board = self.board.identity() if self.board else {}
        files = [
            self._plan_keys(path, value) for path, vs in self.space.axes.items() for value in vs
        ]
        machine = {} if self.board else measuring_identity(self.target.device)
        return digest_of(
            [
                __version__,
                PROPOSALS,
                latency_is,
                said,
                images,
                target,
                how,
                axes,
                limits,
                board,
                machine,
                files,
            ]
        )

    def _plan_keys(self, path: str, value: Any) -> list[str]:
        """Of a value by itself: contents of weights, versions of libraries. Where no plan can
        be made, the reason."""
        first = {name: values[0] for name, values in self.space.axes.items()}
        try:
            planned = make_plan(self.vary({**first, path: value}), [self.target], self.store)
        except MACHINES:
            raise
        except EdgekitError as error:
            return [error.message]
        return [step.key for step in planned.steps]

    def lab(self) -> Lab:
        """Where candidates are judged, with a stopwatch that is set.

        Raises:
            InputError: the latency that is limited cannot be told, or has no reference.
        """
        # Limits take the place of gates: what breaks one is told, and does not end the search.
        target = self.target.model_copy(update={"gates": Gates()})
        asked = self._asked()
        if self.board and asked == "multiple":
            raise InputError(
                f"{self.board.name} is named, and a multiple is timed on this machine",
                hint="limit milliseconds, or leave the device out: --limit 'latency<=8ms'",
            )
        words = self.reference or BY_ITSELF
        watch = stopwatch(target, self.board, words, self.store, self.observer, asked, self.crew)
        if asked == "ms" and watch.needs_reference:
            raise InputError(
                f"milliseconds on {target.name} cannot be told here: {watch.why_no_ms}",
                hint=f"name a board with --device, or give a multiple: --limit {MULTIPLE}",
            )
        lab = Lab(target, self.store, self.observer, watch, self.settings, self.crew)
        if watch.needs_reference:
            self._set_reference(lab)
        return lab

    def _asked(self) -> Literal["ms", "multiple"] | None:
        """What latency is limited in."""
        if self.reference:
            return "multiple"
        return "ms" if any(limit.figure == "latency" for limit in self.limits) else None

    def _set_reference(self, lab: Lab) -> None:
        recipe = self.recipe
        if self.reference:
            refuse_unknown(self.reference, "--limit latency")
            model = ModelSource(arch=self.reference, weights="scratch")
            whole = tuple(stage for stage in recipe.stages if not isinstance(stage, Prune))
            recipe = recipe.model_copy(update={"model": model, "stages": whole})
        try:
            found = PointRecord(name="reference", settings={})
            file = judge_free(lab, recipe, found)
        except MACHINES:
            raise
        except EdgekitError as error:
            raise InputError(
                f"{self.reference or BY_ITSELF}, which latencies are held against, cannot be "
                f"built: {error.message}",
                hint=f"name another one: --limit {MULTIPLE}",
            ) from error
        what = f"{self.reference or BY_ITSELF} ({found.runtime}, {found.precision})"
        lab.watch.hold_against(file, what)

    def report(self, lab: Lab) -> SearchReport:
        watch = lab.watch
        return SearchReport(
            edgekit=__version__,
            created="",
            name=self.name,
            key=self.key(watch.words),
            recipe=self.recipe.name,
            target=self.target.name,
            axes=self.space.axes,
            left_out=self.space.left_out,
            limits=[str(limit) for limit in self.limits],
            latency_is=watch.words,
            why_no_ms=watch.why_no_ms,
            unit=watch.unit,
        )
