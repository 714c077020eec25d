"""Rows of the history as runs of MLflow: one experiment a recipe."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from edgekit import packages
from edgekit.errors import InputError
from edgekit.evidence import InvalidMeasurement, Measurement
from edgekit.history.entry import Entry, Figure

ID = "edgekit.id"
"""The tag that a row is known by, so that it is sent once."""
ELSEWHERE = "models from elsewhere"
PAGE = 1000
SETTINGS = {
    # Nobody asked that anything but the rows goes anywhere.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Newer versions refuse a folder unless asked for it, as whoever names one does.
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


def send(entries: Sequence[Entry], uri: str) -> tuple[int, int]:
    """Make a run of each row that is not there yet.

    Args:
        uri: sqlite:///FILE, a folder as file:///FOLDER, or a server's http(s)://.

    Returns:
        how many were sent, and how many were there.

    Raises:
        MissingPackage: MLflow is not installed. InputError: it has no such store, or the store
            fails it.
    """
    client, failures = _client()
    sent = 0
    try:
        client = client(tracking_uri=uri)
        for recipe in dict.fromkeys(entry.recipe for entry in entries):
            experiment = _experiment(client, f"edgekit/{recipe or ELSEWHERE}")
            known = _known(client, experiment)
            for entry in entries:
                if entry.recipe == recipe and entry.id not in known:
                    _send_one(client, experiment, entry)
                    sent += 1
    except failures as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"--to-mlflow {uri}: {lines[0]}",
            hint="a store is sqlite:///FILE, file:///FOLDER, or a server's http://HOST:PORT",
        ) from error
    return sent, len(entries) - sent


def _client() -> tuple[Any, tuple[type[Exception], ...]]:
    """Its class, and what it raises."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with packages.told():
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
        from sqlalchemy.exc import SQLAlchemyError
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of the tables that it makes
    return MlflowClient, (MlflowException, SQLAlchemyError, OSError)


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _known(client: Any, experiment: str) -> set[str]:
    """The rows that it has."""
    found: set[str] = set()
    token = None
    while True:
        runs = client.search_runs([experiment], max_results=PAGE, page_token=token)
        found |= {run.data.tags[ID] for run in runs if ID in run.data.tags}
        token = runs.token
        if not token:
            return found


def _send_one(client: Any, experiment: str, entry: Entry) -> None:
    from mlflow.entities import Metric, Param

    at = int(1000 * datetime.fromisoformat(entry.recorded).timestamp())
    # The tag that it is known by comes last: a run that was cut short is sent anew.
    run = client.create_run(
        experiment, start_time=at, tags=dict(_tags(entry)), run_name=_name(entry)
    )
    metrics = [Metric(name, value, at, 0) for name, value in _metrics(entry)]
    parameters = [Param(name, value) for name, value in _parameters(entry)]
    client.log_batch(run.info.run_id, metrics=metrics, params=parameters)
    client.set_tag(run.info.run_id, ID, entry.id)
    client.set_terminated(run.info.run_id, status="FINISHED", end_time=at)


def _name(entry: Entry) -> str:
    where = entry.device or entry.target or entry.kind
    return f"{where} {entry.recorded}"


def _metrics(entry: Entry) -> Iterator[tuple[str, float]]:
    """What is no valid figure is none of them."""
    for name, figure in {**_figures(entry), "size_mb": entry.size}.items():
        if isinstance(figure, Measurement):
            ends = {f"{name}_low": figure.low, f"{name}_high": figure.high}
            yield name, figure.value
            yield from ((end, value) for end, value in ends.items() if value is not None)


def _figures(entry: Entry) -> dict[str, Figure | None]:
    return {"top1": entry.top1, "latency_ratio": entry.latency_ratio, "median_ms": entry.median}


def _parameters(entry: Entry) -> Iterator[tuple[str, str]]:
    for name in ("kind", "recipe", "target", "device", "arch", "variant", "runtime", "precision"):
        if value := getattr(entry, name):
            yield name, value


def _tags(entry: Entry) -> Iterator[tuple[str, str]]:
    yield "edgekit.version", entry.edgekit
    yield "edgekit.verdict", entry.status
    yield "edgekit.report", entry.report
    for name, figure in _figures(entry).items():
        if figure:
            yield f"{name}.evidence", figure.evidence
            yield f"{name}.method", figure.method
        if isinstance(figure, InvalidMeasurement):
            yield f"{name}.invalid", figure.reason
    if entry.no_ratio:
        yield "latency_ratio.absent", entry.no_ratio
    if entry.reasons:
        yield "edgekit.reasons", "; ".join(entry.reasons)
    if entry.commit:
        yield "mlflow.source.git.commit", entry.commit.sha
        yield "edgekit.dirty", str(entry.commit.dirty).lower()
