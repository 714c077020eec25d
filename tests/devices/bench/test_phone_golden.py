"""On a phone a release is tried out with its own file, on the way in and on the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.devices.bench.phone_golden import phone_golden
from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.deploy.deploy import Deployment
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.deploy.rollback import roll_back
from edgekit.devices.device import Device
from edgekit.errors import DeviceError, InputError
from tests.devices.bench.phone_bundles import phone_bundle


def deploy(bundle: Bundle, device: Device, tool: Path) -> DeployResult:
    return Deployment(bundle, bundle.release(), golden_runner=phone_golden(tool, bundle)).to(device)


def test_deploy_and_roll_back(device: Device, tool: Path, model: Path, tmp_path: Path) -> None:
    old, new = (phone_bundle(tmp_path / f"bundle{seed}", model, seed) for seed in (3, 4))
    for bundle in (old, new):
        assert deploy(bundle, device, tool).state is DeployState.DEPLOYED
    back = roll_back(device, "figures", phone_golden(tool))
    assert (back.state, back.release) == (DeployState.ROLLED_BACK, old.release())
    assert back.golden_max_abs_diff == 0
    current = Path(device.home, "models/figures/current")
    assert current.resolve().name == old.release()
    # What is stored under the hash is whole; it is the release that is tried out.
    (current / model.name).unlink()
    (current / model.name).write_bytes(b"no model")
    with pytest.raises(DeviceError, match="benchmark_model ended with 1"):
        phone_golden(tool, old)(device, str(current))


def test_another_runtime_s_release_is_refused(
    device: Device, tool: Path, model: Path, tmp_path: Path
) -> None:
    bundle = phone_bundle(tmp_path / "bundle", model)
    bundle.info = bundle.info.model_copy(update={"runtime": "onnxruntime"})
    with pytest.raises(InputError, match="benchmark_model runs TFLite files"):
        phone_golden(tool, bundle)
