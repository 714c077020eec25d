"""Rows of the history as runs of MLflow, in stores of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import InputError, MissingPackage
from edgekit.evidence import Measurement
from edgekit.history.entry import Entry
from edgekit.history.to_mlflow import ID, send
from tests.history.samples import COMMIT, disturbed, recorded, report_of

pytest.importorskip("mlflow")


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """A good build and one whose latency was disturbed."""
    good = report_of(tmp_path / "good/photos/rpi")
    busy = disturbed(report_of(tmp_path / "busy/photos/rpi"))
    return [recorded(good).entry, recorded(busy).entry]


def runs_in(uri: str, name: str = "edgekit/photos") -> list[Any]:
    """Oldest first."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment
    found = client.search_runs([experiment.experiment_id])
    return sorted(found, key=lambda run: "latency_ratio.invalid" in run.data.tags)


@pytest.mark.parametrize("scheme", ["sqlite", "file"])
def test_what_is_sent_can_be_read_there(entries: list[Entry], scheme: str, tmp_path: Path) -> None:
    where = {"sqlite": f"sqlite:///{tmp_path}/mlflow.db", "file": (tmp_path / "runs").as_uri()}
    uri = where[scheme]
    assert send(entries, uri) == (2, 0)
    good, busy = runs_in(uri)
    ratio = entries[0].latency_ratio
    assert isinstance(ratio, Measurement)
    assert good.data.metrics["latency_ratio"] == ratio.value
    assert good.data.metrics["latency_ratio_low"] == ratio.low
    assert entries[0].top1
    assert good.data.metrics["top1"] == entries[0].top1.value
    assert good.data.params["target"] == "rpi"
    assert good.data.tags["mlflow.source.git.commit"] == COMMIT.sha
    assert good.data.tags["latency_ratio.evidence"] == "host"
    assert good.info.status == "FINISHED"
    assert "latency_ratio" not in busy.data.metrics
    assert busy.data.tags["latency_ratio.invalid"] == "machine too busy"


def test_a_row_is_sent_once_and_one_that_was_cut_short_anew(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert send(entries[:1], uri) == (1, 0)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            send(entries, uri)
    assert send(entries, uri) == (1, 1)
    assert send(entries, uri) == (0, 2)
    kept = [run.data.tags[ID] for run in runs_in(uri) if ID in run.data.tags]
    assert sorted(kept) == sorted(entry.id for entry in entries)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "wat://x", "sqlite:////proc/nowhere/x.db"])
def test_a_store_that_fails_is_told_in_a_line(entries: list[Entry], uri: str) -> None:
    with pytest.raises(InputError) as told:
        send(entries, uri)
    assert told.value.message.startswith(f"--to-mlflow {uri}: ")
    assert len(told.value.message.splitlines()) == 1


def test_without_the_package_its_install_line_is_told(
    entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(MissingPackage) as told:
        send(entries, "sqlite:///x.db")
    assert told.value.hint == "pip install 'edgekit-vision[mlflow]'"
