"""Deploy one bundle to many devices at once: as slow as the slowest one, or as their sum?

    python tests/benchmarks/deploy_many.py build/mobilenet_int8/rpi/litert [--devices 8]

The devices are folders of this machine behind a connection that takes `delay` seconds a command, as
over a slow network; what a board's processor would do, all of them do on this machine's cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # a script sees its own folder alone

from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.bundle.make import make_bundle
from edgekit.devices.bundle.options import BundleOptions
from edgekit.devices.bundle.protocol import Protocol
from edgekit.devices.deploy.deploy import Deployment, on_each
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.engine.store import Store, default_store
from edgekit.transports.base import Transport
from edgekit.transports.fake import Fake


def deploy(
    bundle: Bundle, root: Path, count: int, delay: float
) -> tuple[float, list[DeployResult]]:
    ways: dict[str, Transport] = {
        f"board{n}": Fake(root=str(root / f"board{n}"), python=sys.executable, delay=delay)
        for n in range(count)
    }
    begin = time.monotonic()
    outcomes = on_each(ways, Deployment(bundle, bundle.release()).to, bundle.release())
    spent = time.monotonic() - begin
    failed = [outcome.error for outcome in outcomes if outcome.state is not DeployState.DEPLOYED]
    if failed:
        raise SystemExit(f"not deployed: {failed[0]}")
    return spent, outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds a command")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "bundle").mkdir()
        wanted = BundleOptions(Protocol(), threads=1)
        bundle = make_bundle(asked.artifact, Store(default_store()), wanted, root / "bundle")
        # The devices are this machine: its architecture is not the target's.
        bundle.info = bundle.info.model_copy(update={"machine": None})
        alone, _ = deploy(bundle, root / "alone", 1, asked.delay)
        wall, outcomes = deploy(bundle, root / "many", asked.devices, asked.delay)
    seconds = [outcome.seconds for outcome in outcomes]
    print(f"one device {alone:.1f} s; {asked.devices} at once {wall:.1f} s, the slowest of them "
          f"{max(seconds):.1f} s; one after another {sum(seconds):.1f} s")  # fmt: skip


if __name__ == "__main__":
    main()
