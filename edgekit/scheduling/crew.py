"""Steps of this process's builds, run by workers: what the scheduler decides is done here."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from edgekit.engine.artifact import Artifact
from edgekit.engine.crew import AHEAD, Item, Result
from edgekit.engine.observer import Observer
from edgekit.engine.step import Step, StepState
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError, WorkerFailed
from edgekit.scheduling.baton import Baton
from edgekit.scheduling.core import RETRIES, Scheduler
from edgekit.scheduling.hands import Hands, Joined, Lost, MemoryNews, News, Said
from edgekit.scheduling.memory import MemoryBook
from edgekit.scheduling.messages import Done, Event, Failed, Remarked, StepJob
from edgekit.scheduling.state import StepTask
from edgekit.scheduling.work import Closed, Work, report


class StepCrew:
    """A context: its workers end with it."""

    def __init__(self, store: Store, hands: Hands, retries: int = RETRIES) -> None:
        self._store, self._hands = store, hands
        self._core, self._retries = Scheduler(retries), retries
        self._memory = MemoryBook(store.root)
        self._works: dict[str, Work] = {}
        self._failures: dict[str, Failed] = {}
        """Of steps that nobody waited for yet."""
        self._ran: set[str] = set()
        """Keys of steps that were run, and nobody waited for yet."""
        self._at: dict[str, str] = {}
        """Key of the step that a worker is at."""
        self._lock = threading.Lock()
        self._baton = Baton()
        """Held by whoever runs of this process's builds: only one at a time, but for those that
        wait for a step."""
        self._thread = threading.Thread(target=self._attend, name="crew", daemon=True)
        self._fault: BaseException | None = None
        self._is_closing = False
        self._is_stopping = False
        """The builds end, and the crew may go on."""

    @property
    def _is_ending(self) -> bool:
        return self._is_closing or self._is_stopping or self._fault is not None

    def __enter__(self) -> Self:
        self._baton.take()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._baton.give()
        self._is_closing = True
        self._hands.wake()
        self._dismiss()
        try:
            self._thread.join()
        except KeyboardInterrupt:  # the second one
            self._hands.hurry()
            self._thread.join()
            raise
        finally:
            self._memory.write()
        # Raised here, where no build can take it for the failure of one of its steps.
        if self._fault and isinstance(error, Closed):
            raise self._fault

    def perform(self, step: Step, given: Mapping[str, Artifact], observer: Observer) -> bool:
        ear: SimpleQueue[Event | Closed] = SimpleQueue()
        with self._lock:
            self._listen(step, given, ear)
        self._hands.wake()
        while True:
            with self._waiting():
                event = ear.get()
            if isinstance(event, Closed):
                raise event
            if isinstance(event, Failed):
                raise event.error()
            if isinstance(event, Done):
                return event.ran
            report(event, step, observer)

    def has_run(self, step: Step) -> bool:
        with self._lock:
            found = step.key in self._ran
            self._ran.discard(step.key)
            return found

    def begin(self, steps: Sequence[Step]) -> None:
        if any(step.state is StepState.FORCED for step in steps):
            return  # what they left before is in the store, and would be taken for their result
        with self._lock:
            keys = {step.id: step.key for step in steps}
            for step in steps:
                if self._store.find(step.key) or not set(step.inputs.values()) <= keys.keys():
                    continue
                needs = {role: keys[name] for role, name in step.inputs.items()}
                task = self._task(step, frozenset(needs.values()), urgent=False)
                if self._core.add(task):
                    self._works[step.key] = Work(step, None, needs)
        self._hands.wake()

    def in_order(
        self, work: Callable[[Item], Result], items: Sequence[Item], ahead: int = AHEAD
    ) -> Iterator[Result]:
        """As `Crew.in_order`."""

        def turn(item: Item) -> Result:
            self._baton.take()
            try:
                if self._is_ending:
                    raise Closed
                return work(item)
            finally:
                self._baton.give()

        # No context: it would wait for builds that wait for the baton, which this thread has.
        pool = ThreadPoolExecutor(ahead * self._hands.count, thread_name_prefix="build")
        try:
            futures: list[Future[Result]] = [pool.submit(turn, item) for item in items]
            for future in futures:
                with self._waiting():
                    found = future.result()
                yield found
        except BaseException:
            self._is_stopping = True
            self._dismiss()
            with self._waiting():
                pool.shutdown(cancel_futures=True)
            self._is_stopping = False
            raise
        pool.shutdown()

    def aside(self) -> AbstractContextManager[None]:
        """As `Crew.aside`."""
        return self._waiting()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._baton.give()
        try:
            yield
        finally:
            self._baton.take()

    def _listen(
        self, step: Step, given: Mapping[str, Artifact], ear: SimpleQueue[Event | Closed]
    ) -> None:
        if self._is_ending:
            ear.put(Closed())
            return
        if failure := self._failures.pop(step.key, None):
            ear.put(failure)
            return
        self._core.add(self._task(step, frozenset(), urgent=True))
        work = self._works.setdefault(step.key, Work(step, given, {}))
        work.given = dict(given)
        work.ears.append(ear)
        if len(work.ears) == 1:
            for event in work.heard.values():
                ear.put(event)

    def _task(self, step: Step, needs: frozenset[str], urgent: bool) -> StepTask:
        return StepTask(
            key=step.key,
            needs=needs,
            memory=self._memory.need(step),
            alone=step.action.times,
            machine=self._hands.home if step.action.times else "",
            urgent=urgent,
        )

    def _attend(self) -> None:
        """All of the workers' life: the kernel ends them with the thread that started them."""
        is_open = False
        try:
            while not self._is_closing:
                if self._core.open and not is_open:  # where all is in the store, nobody is needed
                    is_open = True
                    self._hands.open()
                with self._lock:
                    self._start()
                for news in self._hands.news():
                    with self._lock:
                        self._take(news)
        except BaseException as error:
            self._fault = error
            self._dismiss()
        finally:
            self._hands.close()

    def _dismiss(self) -> None:
        """Nobody waits for a step any more."""
        with self._lock:
            for work in self._works.values():
                self._tell_all(work, Closed())

    def _start(self) -> None:
        for start in self._core.decide():
            work = self._works[start.key]
            job = self._job(work)
            if job is None:
                self._end(start.key, None)
                continue
            self._at[start.worker] = start.key
            try:
                self._hands.give(start.worker, job)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                del self._at[start.worker]
                self._end(start.key, Failed("PicklingError", f"{work.step.id}: {error}"))

    def _job(self, work: Work) -> StepJob | None:
        """None where something that it needs has gone meanwhile, and nobody waits for it."""
        if work.given is not None:
            return StepJob(work.step, work.given)
        given = {role: self._store.find(key) for role, key in work.needs.items()}
        found = {role: artifact for role, artifact in given.items() if artifact}
        return StepJob(work.step, found) if len(found) == len(given) else None

    def _take(self, news: News) -> None:
        match news:
            case Joined(worker, machine):
                self._core.join(worker, machine)
            case MemoryNews(machine, available, used):
                for key, size in self._core.memory(machine, available, used).items():
                    self._memory.saw(self._works[key].step, size)
            case Lost():
                self._lost(news)
            case Said(worker, event):
                self._heard(worker, event)

    def _heard(self, worker: str, event: Event) -> None:
        key = self._at[worker]
        if isinstance(event, Done | Failed):
            del self._at[worker]
            self._end(key, event)
            return
        work = self._works[key]
        work.heard[type(event)] = event
        if work.ears:
            work.ears[0].put(event)

    def _lost(self, news: Lost) -> None:
        worker, why = news.worker, news.why
        if key := self._at.pop(worker, None):
            work = self._works[key]
            # Where nobody waits for this step, whoever waits for another is told.
            listening = [work, *self._works.values()]
            ears = next((each.ears for each in listening if each.ears), [])
            for ear in ears[:1]:
                ear.put(Remarked(f"{work.step.id}: its worker ended with {why}"))
            kind = EdgekitError if news.crashed else WorkerFailed
            hint = "if it was for want of memory, take fewer: --workers 1"
            words = f"{work.step.id}: {self._retries + 1} workers ended at it, the last with {why}"
            self._forget(self._core.lose(worker), key, Failed(kind, words, {"hint": hint}))
        else:
            self._core.lose(worker)

    def _end(self, key: str, event: Done | Failed | None) -> None:
        if isinstance(event, Done):
            work = self._works.pop(key)
            self._core.done(key)
            self._tell_all(work, event)
            if event.ran and not work.ears:
                self._ran.add(key)
        else:
            self._forget(self._core.failed(key), key, event)

    def _forget(self, ended: Sequence[str], key: str, failure: Failed | None) -> None:
        """A step failed, if any did, and those that need it cannot be begun."""
        for each in ended:
            work = self._works.pop(each)
            if each != key and work.ears:  # it was made elsewhere meanwhile
                self._works[each] = work
                self._core.add(self._task(work.step, frozenset(), urgent=True))
            elif each == key and failure:
                self._tell_all(work, failure)
                if not work.ears:
                    self._failures[key] = failure

    @staticmethod
    def _tell_all(work: Work, event: Event | Closed) -> None:
        for number, ear in enumerate(work.ears):
            ear.put(Done(False) if number and isinstance(event, Done) else event)
