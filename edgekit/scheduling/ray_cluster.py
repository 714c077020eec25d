"""Workers of a Ray cluster, and one process here, on which all timings run.

Nodes see the store by the same path. Nothing is taken from a cluster without token authentication:
whoever reaches its ports could run what they like.
"""

from __future__ import annotations

import os
import pickle
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from edgekit import __version__
from edgekit.engine.action import library_versions
from edgekit.engine.executor import Executor
from edgekit.engine.step import Step
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, InputError, WorkerFailed, storage_errors
from edgekit.scheduling.hands import FalseStarts, Joined, Lost, News, Said
from edgekit.scheduling.local import HERE, LocalWorkers
from edgekit.scheduling.machine import cores
from edgekit.scheduling.messages import Done, Event, Failed, StepJob
from edgekit.scheduling.worker import Telling, perform

MODE = "RAY_AUTH_MODE"
PAUSE = 0.1
"""Seconds between two looks at the cluster."""
MOST = 256
"""Workers for which builds are under way, where nobody says how many the cluster has."""


class _Remote:
    """What runs on a node: an actor's class."""

    def __init__(self, store: str, threads: str) -> None:
        self._store = store
        # Ray asks for one thread. Before torch is loaded: its sums depend on their number.
        os.environ["OMP_NUM_THREADS"] = threads

    def ready(self, mark: str) -> tuple[str, str, bool]:
        """The version of edgekit there, the node, and whether it sees the store."""
        import ray

        seen = (Path(self._store) / mark).exists()
        return __version__, ray.get_runtime_context().get_node_id(), seen

    def perform(self, job: bytes) -> Iterator[Event]:
        """What happens to a step, as it happens."""
        events: SimpleQueue[Event] = SimpleQueue()

        def work() -> None:
            try:
                given: StepJob = pickle.loads(job)
                need_same_libraries(given.step)
                with Executor(Store(Path(self._store)), Telling(events.put)) as executor:
                    events.put(perform(executor, given))
            except BaseException as error:  # somebody waits for it, whatever it is
                told = error if isinstance(error, Exception) else RuntimeError(repr(error))
                events.put(Failed.of(told))

        threading.Thread(target=work, daemon=True).start()
        while True:
            event = events.get()
            yield event
            if isinstance(event, Done | Failed):
                return


def need_same_libraries(step: Step) -> None:
    """
    Raises:
        WorkerFailed: this machine has others than the one that planned the step, whose versions are
            in the key under which its result would be kept.
    """
    planned = step.components.get("libraries", {})
    own = library_versions(tuple(planned))
    if others := [f"{n} {own[n]} in place of {v}" for n, v in planned.items() if own[n] != v]:
        raise WorkerFailed(
            f"{step.id}: a node of the cluster has {', '.join(others)}",
            hint="install the same versions on all machines",
        )


@dataclass
class _Actor:
    handle: Any
    starting: Any = None
    """The answer of `ready`, until it is there."""
    events: Any = None
    """Of the step that it is at."""


class RayWorkers:
    home = HERE

    def __init__(self, store: Path, count: int | None, address: str | None) -> None:
        """
        Args:
            count: workers of the cluster; one a core unless named.
            address: of its head; a cluster on this machine alone unless named.

        Raises:
            InputError: token authentication is switched off.
        """
        if os.environ.setdefault(MODE, "token") != "token":
            raise InputError(
                f"{MODE}={os.environ[MODE]}: without a token anybody who reaches the cluster can "
                "run programs there",
                hint=f"unset {MODE}, start the cluster with {MODE}=token, and give all its "
                "machines the token that `ray get-auth-token --generate` makes",
            )
        self.count = count or MOST
        self._asked, self._address, self._store = count, address, store
        self._local = LocalWorkers(store, 1)
        self._actors: dict[str, _Actor] = {}
        self._false_starts = FalseStarts()
        self._made = 0
        self._mark = f".ray-{uuid.uuid4().hex}"

    def open(self) -> None:
        import ray

        try:
            ray.init(
                address=self._address,
                ignore_reinit_error=True,
                log_to_driver=False,
                logging_level="error",
                include_dashboard=False if self._address is None else None,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise DeviceError(
                f"no Ray cluster answers at {self._address or 'this machine'}: {error}",
                hint="is it running (ray status), and is its token in ~/.ray/auth_token here?",
            ) from error
        with storage_errors(self._store):
            self._store.mkdir(parents=True, exist_ok=True)
            (self._store / self._mark).touch()
        self._kind = ray.remote(num_cpus=1, max_restarts=0)(_Remote)
        self._local.open()
        for _ in range(self._asked or int(ray.cluster_resources().get("CPU", 1))):
            self._start()

    def give(self, worker: str, job: StepJob) -> None:
        actor = self._actors.get(worker)
        if actor is None:
            self._local.give(worker, job)
        else:
            method = actor.handle.perform.options(num_returns="streaming")
            actor.events = method.remote(pickle.dumps(job))

    def news(self) -> list[News]:
        found = self._local.news(PAUSE)
        for name, actor in [*self._actors.items()]:
            found += self._news_of(name, actor)
        return found

    def wake(self) -> None:
        self._local.wake()

    def hurry(self) -> None:
        self._local.hurry()

    def close(self) -> None:
        import ray

        self._local.close()
        if ray.is_initialized():
            ray.shutdown()  # its actors end with it
        (self._store / self._mark).unlink(missing_ok=True)

    def _start(self) -> None:
        self._made += 1
        threads = os.environ.get("OMP_NUM_THREADS") or str(cores())
        handle = self._kind.remote(str(self._store), threads)
        self._actors[f"ray-{self._made}"] = _Actor(handle, handle.ready.remote(self._mark))

    def _news_of(self, name: str, actor: _Actor) -> Iterator[News]:
        import ray

        waited = actor.starting or actor.events
        while waited is not None and ray.wait([waited], timeout=0)[0]:
            try:
                if actor.starting:
                    yield self._joined(name, actor, ray.get(actor.starting))
                    return
                event: Event = ray.get(next(actor.events))
            except ray.exceptions.RayError as error:
                yield from self._ended(name, actor, error)
                return
            yield Said(name, event)
            if isinstance(event, Done | Failed):
                actor.events = None
                return

    def _joined(self, name: str, actor: _Actor, told: tuple[str, str, bool]) -> News:
        version, node, sees_store = told
        if version != __version__:
            raise InputError(f"the cluster has edgekit {version}, and this machine {__version__}")
        if not sees_store:
            raise InputError(
                f"a node of the cluster does not see the store {self._store}",
                hint="name a folder that all machines share: --store FOLDER",
            )
        actor.starting = None
        self._false_starts.joined()
        return Joined(name, node)

    def _ended(self, name: str, actor: _Actor, error: Exception) -> Iterator[News]:
        """A worker is gone: another takes its place."""
        why = f"{type(error).__name__}"
        del self._actors[name]
        if actor.starting is None:
            yield Lost(name, why)
        elif self._false_starts.one_more():
            raise DeviceError(
                f"workers of the Ray cluster end as they start: {error}",
                hint="is the package edgekit-vision installed on all machines?",
            ) from error
        self._start()
