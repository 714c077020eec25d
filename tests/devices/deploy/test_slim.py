"""A release without the images it is measured with works as the whole one does."""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit.devices.bundle.bundle import IMAGES, Bundle
from edgekit.devices.deploy.deploy import Deployment
from edgekit.devices.deploy.releases import deployed_models
from edgekit.devices.deploy.result import DeployState
from edgekit.devices.deploy.rollback import roll_back
from edgekit.devices.deploy.slim import without_slice
from edgekit.devices.device import Device
from edgekit.transports.fake import Fake
from tests.devices.tiny import tiny_bundle


def slim(tmp_path: Path, seed: int) -> Bundle:
    whole = tiny_bundle(tmp_path / f"whole-{seed}", seed=seed)
    folder = tmp_path / f"slim-{seed}"
    folder.mkdir()
    return without_slice(whole, folder)


def test_it_is_deployed_verified_and_rolled_back(tmp_path: Path) -> None:
    first, second = slim(tmp_path, 0), slim(tmp_path, 1)
    first.verify()
    assert not {IMAGES, "slice_labels.npy", "slice_scores.npy", "job.json"} & first.files.keys()
    with Device("pi5", Fake(root=str(tmp_path / "pi"), python=sys.executable)) as device:
        for bundle in (first, second):
            done = Deployment(bundle, bundle.release()).to(device)
            assert done.state is DeployState.DEPLOYED
        assert roll_back(device, "means").release == first.release()
        (model,) = deployed_models(device)
    assert model.is_whole
    assert (model.current, model.previous) == (first.release(), second.release())
