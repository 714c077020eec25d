"""A search from its first candidate to the one to take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edgekit.engine.atomic import write_atomically
from edgekit.engine.crew import AHEAD, in_order
from edgekit.errors import EdgekitError, storage_errors
from edgekit.model_search.axes import point_label, point_name
from edgekit.model_search.built import build_point
from edgekit.model_search.conclude import conclude, outdone, to_train
from edgekit.model_search.effects import effects
from edgekit.model_search.evaluate import Trained
from edgekit.model_search.front import front, recommend
from edgekit.model_search.ladder import Ladder
from edgekit.model_search.latencies import time_file
from edgekit.model_search.limits import FREE_FIGURES, Limit
from edgekit.model_search.remarks import beforehand, compared, not_tried, outcome
from edgekit.model_search.report import CandidateRecord, SearchReport
from edgekit.model_search.rungs import Rung, from_checkpoint, recipe_text
from edgekit.model_search.study import Asked, CandidateStudy
from edgekit.model_search.task import SearchTask
from edgekit.models.card import WEIGHTS_FILE
from edgekit.models.checkpoint import write_checkpoint
from edgekit.spec.recipe import load_recipe

FOR_CANDIDATES = 0.5
"""Share of the time in which candidates are compared; what is left trains the front."""

FEW_AHEAD = 2
"""Candidates that are under way for each worker where the time is limited; of the front one."""


def run_search(
    task: SearchTask, publish: Callable[[SearchReport], None], seconds: float | None = None
) -> SearchReport:
    """Search, publishing the report after each candidate.

    Args:
        seconds: after which no new work is begun; None for no end.

    Raises:
        InputError: a latency that is limited cannot be told.
        EdgekitError: the machine failed, and not a candidate.
    """
    lab = task.lab()
    report = task.report(lab)
    with task.store.lock(
        f"search-{report.key}",
        waiting=lambda: task.observer.remark("another process is at this search; waiting for it"),
    ):
        _Search(task, Ladder(lab, task.vary, task.limits), report, publish, seconds).run()
    return report


class _Search:
    def __init__(
        self,
        task: SearchTask,
        ladder: Ladder,
        report: SearchReport,
        publish: Callable[[SearchReport], None],
        seconds: float | None,
    ) -> None:
        self.task, self.ladder, self.report = task, ladder, report
        self.publish, self.seconds = publish, seconds
        self.begun = time.monotonic()
        self.late = False
        """The time was over before all was done."""
        self.told_over: set[float] = set()
        """Shares of the time of which it was told that they are over."""
        self.trained: dict[str, Trained] = {}

    def run(self) -> None:
        told = beforehand(self.task, self.ladder.lab, self.seconds)
        for line in (*told, *not_tried(self.report)):
            self.task.observer.remark(line)
        self._compare()
        self._tell_effects()
        self._refine()
        self._confirm()
        self.report.state = "out of time" if self.late else "done"
        conclude(self.report, self.task.limits, self._right)
        self._publish()

    def _compare(self) -> None:
        """The free and the short rung of every candidate that is asked for."""
        task, report = self.task, self.report
        journal = task.store.root / "search" / report.name / f"{report.key[:16]}.log"
        study = CandidateStudy(journal, task.space.axes, task.settings.seed, self.ladder.bounds)
        try:
            kept = [CandidateRecord.model_validate(record) for record in study.records]
        except ValidationError as error:
            raise study.damaged(error) from error
        report.candidates = kept[: task.settings.candidates]
        self._publish()
        if kept:
            task.observer.remark(f"{len(kept)} candidates were compared already")
        while (left := task.most - len(report.candidates)) > 0:
            asked = study.ask_round(left)
            if not asked:
                break
            ahead = AHEAD if self.seconds is None else FEW_AHEAD
            judged = in_order(task.crew, self._compared, self._numbered(asked), ahead)
            for one, found in zip(asked, judged, strict=True):
                if found is None:
                    self.late = True
                    continue
                study.tell(one, self.ladder.outcome(found), found.model_dump(mode="json"))
                report.candidates.append(found)
                task.observer.remark(compared(report, task.most))
                self._publish()
            if self.late:
                return

    def _numbered(self, asked: list[Asked]) -> list[tuple[int, CandidateRecord]]:
        names = {known.name for known in self.report.candidates}
        found = []
        for one in asked:
            label = point_label(one.settings, self.report.axes)
            record = CandidateRecord(
                name=point_name(one.settings), label=label, settings=one.settings
            )
            if record.name in names:
                raise EdgekitError(f"two candidates have the name {record.name}")
            names.add(record.name)
            found.append((len(names), record))
        return found

    def _compared(self, numbered: tuple[int, CandidateRecord]) -> CandidateRecord | None:
        """None where the time was over before its training began."""
        number, record = numbered

        def is_over() -> bool:
            # Until something is trained there is nothing to recommend: that may take all the time.
            share = FOR_CANDIDATES if any(c.top1 for c in self.report.candidates) else 1.0
            return number > 1 and self._is_over(share)

        if is_over():
            return None
        self.task.observer.remark(f"candidate {number}: {record.title}")
        return record if self.ladder.free_and_short(record, is_over) else None

    def _tell_effects(self) -> None:
        """Of short trainings alone, before longer ones take the place of their figures."""
        short = [c for c in self.report.candidates if c.rung is Rung.SHORT]
        self.report.effects = effects(short, self.report.unit, self.task.settings.epochs)

    def _refine(self) -> None:
        """The full rung, for those that no other is better than in all."""
        alive = [c for c in self.report.candidates if c.top1 and not c.dropped]
        limits = [x for x in self.task.limits if x.figure in FREE_FIGURES]
        best = _best(alive, limits)
        chosen = to_train(best, limits, self.task.settings.front)
        for point in best:
            if point not in chosen:
                point.dropped = (
                    f"{point.rung}: the front loses little without it, and more are not trained"
                )
        ahead = AHEAD if self.seconds is None else 1
        for point in in_order(self.task.crew, self._trained, list(enumerate(chosen)), ahead):
            if point.name in self.trained:
                self.report.held_back = len(self.trained[point.name].right)
            self.task.observer.remark(outcome(point, self.report.unit))
            self._publish()

    def _trained(self, numbered: tuple[int, CandidateRecord]) -> CandidateRecord:
        """One is trained in any case: else there would be nothing to recommend."""
        number, point = numbered
        if self._is_over() and number:
            self.late = True
            point.dropped = f"{point.rung}: the time was over"
            return point
        self.task.observer.remark(f"{point.title}, as the recipe says")
        if found := self.ladder.full(point):
            self.trained[point.name] = found
        return point

    def _confirm(self) -> None:
        """Choose, by the held-back images alone; then look at the others, once."""
        report = self.report
        alive = [c for c in report.candidates if c.name in self.trained and not c.dropped]
        best = _best(alive, self.task.limits)
        margin = self.task.settings.margin
        found = recommend(best, self._right, self.task.limits, len(report.candidates), margin)
        report.front = [point.name for point in best]
        if found:
            report.recommended, report.why = found.point.name, found.why
        recommended_first = sorted(best, key=lambda p: p.name != report.recommended)
        for _ in in_order(self.task.crew, self._build, recommended_first):
            self._publish()

    @property
    def _right(self) -> dict[str, NDArray[np.bool_]]:
        """Which held-back images each that was trained in full classifies rightly."""
        return {name: found.right for name, found in self.trained.items()}

    def _build(self, point: CandidateRecord) -> None:
        """The ordinary build of a point, from its checkpoint on, unless the time is over. Of one
        that is not recommended, or late, only the variant that was compared."""
        task, target = self.task, self.task.target
        taken, is_over = point.name == self.report.recommended, self._is_over()
        if is_over and not taken:
            self.late = True
            return
        if is_over or not taken:
            target = target.only(point.variant)
        made = load_recipe(self._written(point))
        task.observer.remark(f"{point.title}: judged on the images that chose nothing")
        built = build_point(
            point.settings,
            made,
            target,
            task.store,
            task.observer,
            variant=point.variant,
            crew=task.crew,
        )
        if built.row:
            time_file(self.ladder.lab.watch, built.record, built.file)
        point.confirmed = built.record
        if built.record.top1:
            self.report.judged = built.record.top1.samples

    def _written(self, point: CandidateRecord) -> Path:
        """The ordinary recipe of a point, beside the weights that it begins with."""
        task, trained = self.task, self.trained[point.name]
        recipe, folder = task.vary(point.settings), task.folder
        # By the key: a recipe of another search begins with its own weights.
        name = f"{point.name}-{self.report.key[:8]}"
        path = folder / f"{name}.yaml"
        weights: Path | None = None
        with storage_errors(folder, "--out"):
            folder.mkdir(parents=True, exist_ok=True)
            if trained.checkpoint:
                weights = (folder / f"{name}.safetensors").absolute()
                source = trained.checkpoint.verified(WEIGHTS_FILE)
                write_checkpoint(source, trained.seen, weights)
            point.recipe = from_checkpoint(recipe, f"{recipe.name}-{point.name}", weights)
            write_atomically(path, recipe_text(point.recipe))
        return path

    def _is_over(self, share: float = 1.0) -> bool:
        if self.seconds is None or time.monotonic() - self.begun <= share * self.seconds:
            return False
        if share not in self.told_over:
            self.told_over.add(share)
            which = "the time" if share == 1.0 else "the candidates' half of the time"
            self.task.observer.remark(f"{which} is over: trainings under way go on to their end")
        return True

    def _publish(self) -> None:
        self.report.spread = self.ladder.lab.watch.spread
        self.report.created = datetime.now(UTC).isoformat(timespec="seconds")
        self.publish(self.report)


def _best(alive: list[CandidateRecord], limits: Sequence[Limit]) -> list[CandidateRecord]:
    """The front of these; the others are dropped, each with its reason."""
    best = front(alive, limits)
    for candidate in alive:
        if candidate not in best:
            candidate.dropped = outdone(candidate, best, limits)
    return best
