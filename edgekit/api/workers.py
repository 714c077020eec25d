"""Who runs the steps of a command: this process, workers of this machine, or those of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgekit.api.arguments import need_whole
from edgekit.errors import InputError
from edgekit.packages import need_extra

if TYPE_CHECKING:
    from edgekit.engine.crew import Crew
    from edgekit.engine.store import Store
    from edgekit.scheduling.hands import Hands

MOST_WORKERS = 1024


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster whose machines all see the store, by the same path."""

    address: str | None = None
    """Of its head; a cluster of this machine alone unless named."""
    workers: int | None = None
    """One a core unless named."""


Workers = int | Literal["auto"] | Cluster
"""Processes that run steps; `auto` is as many as the machine's cores and memory allow."""


def workers_of(
    workers: int | Literal["auto"] | None, engine: str = "local", address: str | None = None
) -> Workers:
    """What options of a command stand for.

    Raises:
        InputError: they do not go together.
    """
    if engine == "ray":
        return Cluster(address, None if workers == "auto" else workers)
    if address:
        raise InputError("--address is of a Ray cluster", hint="add --engine ray")
    return workers or 1


@contextmanager
def crew_of(store: Store, workers: Workers) -> Iterator[Crew | None]:
    """None where this process does it all.

    Raises:
        InputError: no such number of workers, or a cluster that is open to everybody.
        MissingPackage: edgekit is installed without the extra `ray`.
    """
    hands = _hands(store, workers)
    if hands is None:
        yield None
        return
    from edgekit.scheduling.crew import StepCrew

    with StepCrew(store, hands) as crew:
        yield crew


def _hands(store: Store, workers: Workers) -> Hands | None:
    root = store.root.absolute()
    if isinstance(workers, Cluster):
        need_whole("workers", workers.workers, MOST_WORKERS)
        need_extra("ray")
        from edgekit.scheduling.ray_cluster import RayWorkers

        return RayWorkers(root, workers.workers, workers.address)
    if workers != "auto":
        need_whole("workers", workers, MOST_WORKERS)
    if workers == 1:
        return None
    from edgekit.scheduling.local import LocalWorkers, workers_here

    count = workers_here() if workers == "auto" else workers
    return LocalWorkers(root, count) if count > 1 else None
