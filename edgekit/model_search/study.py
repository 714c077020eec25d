"""Which candidate to look at next. An Optuna study keeps what was asked and told, its journal in
the store.

Candidates are asked for in rounds. What is asked depends on what was told before the round alone,
never on when: what is drawn has a seed that follows from the question's number. So a search that
was killed asks what it would have asked. Whoever searches holds the
store's lock, so that the journal needs none of its own, which a kill would leave behind.
"""

from __future__ import annotations

import itertools
import random
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgekit.engine.artifact import digest_of
from edgekit.errors import InputError, storage_errors
from edgekit.model_search.axes import is_ordered, size_of
from edgekit.model_search.expected_gain import Bounds, Told, encoded
from edgekit.spec.fields import value_text

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

RECORD = "record"
FIGURES = "figures"
STARTUP = 8
"""Candidates of the first round, before anything is known: spread over all fields."""
ROUND = 4
"""Candidates of each other round: asked for before any of them is told."""
MOST_LEFT = 2000
"""Candidates of a large space among which the next is chosen."""
UNBOUNDED = Bounds()
DIRECTIONS: tuple[Literal["maximize", "minimize"], ...] = ("maximize", "minimize", "minimize")
"""Of accuracy, latency and size."""


@dataclass(frozen=True)
class Asked:
    number: int
    settings: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of a candidate, as far as it is known."""

    accuracy: float | None
    latency: float | None
    size: float | None
    failed: bool
    """It could not be built."""


class CandidateStudy:
    """The candidates of one search, in the order in which they were asked."""

    def __init__(
        self,
        journal: Path,
        axes: Mapping[str, Sequence[Any]],
        seed: int,
        bounds: Bounds = UNBOUNDED,
    ) -> None:
        """
        Args:
            journal: the file that keeps what was asked and told; it need not be there.

        Raises:
            StorageError: it cannot be written.
            InputError: it is damaged, or another version's.
        """
        self._axes = {path: _in_order(values) for path, values in axes.items()}
        self._seed, self._journal, self._bounds = seed, journal, bounds
        with storage_errors(journal.parent):
            journal.parent.mkdir(parents=True, exist_ok=True)
            _cut_torn_line(journal)
            self._study = self._opened()

    def _opened(self) -> Study:
        try:
            study = _open(self._journal)
            for trial in study.get_trials(deepcopy=False):
                self._check(trial)
        except OSError:
            raise
        except Exception as error:  # Optuna reads a journal without looking
            raise self.damaged(error) from error
        return study

    def _check(self, trial: FrozenTrial) -> None:
        """
        Raises:
            KeyError, IndexError, TypeError, ValueError: it is no candidate of these fields.
        """
        self._asked(trial.number, trial.params)
        if trial.state.is_finished():
            dict(trial.user_attrs[RECORD])
            _accuracy, _latency, _size, _failed = np.array(trial.user_attrs[FIGURES], float)

    def damaged(self, error: Exception) -> InputError:
        """That the journal cannot be read, and what to do."""
        return InputError(
            f"{self._journal} is no journal of a search: {type(error).__name__}",
            hint=f"rm {shlex.quote(str(self._journal))}  # trainings that are finished are kept",
        )

    @property
    def records(self) -> list[dict[str, Any]]:
        """What was noted of each candidate that was told, in the order of the questions."""
        return [trial.user_attrs[RECORD] for trial in self._told()]

    def ask_round(self, most: int) -> list[Asked]:
        """The candidates of a round that are still to be told; empty where all of the space were.

        Which they are depends on what was told before the round: not on how many of them are
        compared at a time, nor on where the search was stopped, unless `most` cut a round short.

        Args:
            most: candidates to ask for.
        """
        found: list[Asked] = []
        with storage_errors(self._journal.parent):
            told = [self._place(trial.params) for trial in self._told()]
            known = {*told}
            for number in range(len(told), min(len(told) + most, _end_of_round(len(told)))):
                if len(known) >= size_of(self._axes):
                    break
                asked = self._interrupted(known) or self._new(known, number)
                found.append(asked)
                known.add(self._place(_trial(self._study, asked.number).params))
        return found

    def tell(self, asked: Asked, outcome: Outcome, record: Mapping[str, Any]) -> None:
        from optuna.trial import TrialState

        values = outcome.accuracy, outcome.latency, outcome.size
        known = [value for value in values if value is not None]
        with storage_errors(self._journal.parent):
            trial = _trial(self._study, asked.number)
            trial.set_user_attr(RECORD, dict(record))
            trial.set_user_attr(FIGURES, [*values, float(outcome.failed)])
            if len(known) == len(values):
                self._study.tell(asked.number, known)
            else:
                self._study.tell(asked.number, state=TrialState.PRUNED)

    def _told(self) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        return self._study.get_trials(deepcopy=False, states=ended)

    def _interrupted(self, known: set[tuple[int, ...]]) -> Asked | None:
        """What was asked and never told."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._place(trial.params) not in known:
                return self._asked(trial.number, trial.params)
        return None

    def _new(self, known: set[tuple[int, ...]], number: int) -> Asked:
        """One that was not asked yet: of the first round, then the one that promises the most.

        Args:
            number: of candidates before it.
        """
        if number < STARTUP and (first := self._first_round()[number]) not in known:
            return self._put(first)
        left = self._left(known, random.Random(self._seed_of(number)))
        if number < STARTUP:
            return self._put(left[0])
        trials = self._told()
        places = [self._place(trial.params) for trial in trials]
        figures = np.array([trial.user_attrs[FIGURES] for trial in trials], float)
        told = Told(encoded(places, self._axes), *figures.T)
        if pending := sorted(known - {*places}):
            told = told.with_pending(encoded(pending, self._axes))
        gains = told.gains(encoded(left, self._axes), self._bounds)
        return self._put(left[int(gains.argmax())])

    def _left(self, known: set[tuple[int, ...]], chance: random.Random) -> list[tuple[int, ...]]:
        """What was not asked yet, in random order; of a large space some of it."""
        counts = [range(len(values)) for values in self._axes.values()]
        if size_of(self._axes) <= len(known) + MOST_LEFT:
            places = [place for place in itertools.product(*counts) if place not in known]
            chance.shuffle(places)
            return places
        drawn = (tuple(map(chance.choice, counts)) for _ in itertools.count())
        fresh = (place for place in drawn if place not in known)
        return [*dict.fromkeys(itertools.islice(fresh, MOST_LEFT))]

    def _first_round(self) -> list[tuple[int, ...]]:
        """A Latin hypercube: of each field every value as often as any other, in random order."""
        chance = random.Random(self._seed_of(-1))
        columns = []
        for values in self._axes.values():
            order = chance.sample(range(len(values)), len(values))
            column = [order[place % len(order)] for place in range(STARTUP)]
            chance.shuffle(column)
            columns.append(column)
        return [*zip(*columns, strict=True)]

    def _put(self, place: tuple[int, ...]) -> Asked:
        """Ask for it, in one line of the journal: a kill leaves all of it or nothing."""
        from optuna.trial import TrialState, create_trial

        params, distributions = dict(zip(self._axes, place, strict=True)), self._distributions()
        self._study.add_trial(
            create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)
        )
        return self._asked(self._study.get_trials(deepcopy=False)[-1].number, params)

    def _seed_of(self, number: int) -> int:
        """Of a question: those of neighbouring searches have nothing in common."""
        return int(digest_of([self._seed, number])[:8], 16)

    def _place(self, params: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(params[path] for path in self._axes)

    def _asked(self, number: int, params: Mapping[str, int]) -> Asked:
        return Asked(number, {path: self._axes[path][params[path]] for path in self._axes})

    def _distributions(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution, IntDistribution

        return {
            path: IntDistribution(0, len(values) - 1)
            if is_ordered(values)
            else CategoricalDistribution(range(len(values)))
            for path, values in self._axes.items()
        }


def _open(journal: Path) -> Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    class HeldOutside(JournalFileOpenLock):
        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(journal), HeldOutside(str(journal))))
    return optuna.create_study(
        storage=storage, study_name="search", directions=DIRECTIONS, load_if_exists=True
    )


def _end_of_round(told: int) -> int:
    """How many candidates are told when the round ends that is under way.

    >>> [_end_of_round(told) for told in (0, 7, 8, 11, 12)]
    [8, 8, 12, 12, 16]
    """
    return STARTUP if told < STARTUP else told + ROUND - (told - STARTUP) % ROUND


def _trial(study: Study, number: int) -> Any:
    from optuna.trial import Trial

    return Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def _in_order(values: Sequence[Any]) -> list[Any]:
    """Numbers by their size, so that neighbours are alike."""
    return sorted(values) if is_ordered(values) else sorted(values, key=value_text)


def _cut_torn_line(journal: Path) -> None:
    """What was being written as the process was killed: a line without its end."""
    if not journal.exists():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with journal.open("r+b") as stream:
            stream.truncate(whole)
