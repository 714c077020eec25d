"""Put models in use on devices, and take them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.api.arguments import (
    PathLike,
    Triple,
    bundle_options,
    names_of,
    need_whole,
    path_of,
    remark_unprevented,
    remark_untrained,
    store_of,
    transports_of,
)
from edgekit.engine.observer import Observer, Silent
from edgekit.errors import InputError
from edgekit.packages import told

if TYPE_CHECKING:
    from edgekit.api.results import DeployReport
    from edgekit.devices.deploy.health import Health
    from edgekit.devices.deploy.result import DeployRecord, DeployResult
    from edgekit.devices.device import Device


def deploy(
    artifact: PathLike,
    device: str | Sequence[str] = (),
    *,
    group: str | Sequence[str] = (),
    keep: int = 3,
    dry_run: bool = False,
    without_images: bool = False,
    reload: str = "",
    check: str = "",
    within: float | None = None,
    canary: int | None = None,
    wait: float = 0.0,
    images: PathLike | None = None,
    mean: Triple | None = None,
    std: Triple | None = None,
    labels: PathLike | None = None,
    benchmark_binary: PathLike | None = None,
    store: PathLike | None = None,
    observer: Observer | None = None,
    on_result: Callable[[DeployRecord], None] | None = None,
) -> DeployReport:
    """Put a model in use on devices, once it gives its scores there.

    Args:
        device: a name in the inventory, or several; all of them at once.
        group: a group of the inventory, or several: all of their devices.
        keep: releases.
        dry_run: say what would be sent, and send nothing. The others are those of `bench`.
        without_images: leave out the images that only a measurement needs.
        reload: a command on the device, after the switch, that makes a service take the model.
        check: a command there that ends with 0 where all is well; if it does not, or the golden
            scores are others, the release before is put back.
        within: seconds in which it must do so once; 30 unless named.
        canary: devices that go first; where one of them fails, the others stay as they are.
        wait: seconds after which those are looked at again before the others begin.
        on_result: called with what came of each device, as it is known; by several threads.

    Returns:
        what came of each, also where it failed: see `DeployReport.check`.

    Raises:
        InputError: the artifact or a device is none.
    """
    from edgekit.api.results import DeployReport
    from edgekit.devices.bench.phone_golden import phone_golden
    from edgekit.devices.bundle.make import bundle_of
    from edgekit.devices.deploy.deploy import Deployment
    from edgekit.devices.deploy.rollout import Canary, roll_out
    from edgekit.devices.deploy.slim import without_slice
    from edgekit.engine.temporary import temporary_folder

    need_whole("keep", keep)
    watching, binary = observer or Silent(), path_of(benchmark_binary)
    need_whole("canary", canary)
    first = None if canary is None else Canary(canary, wait)
    if wait and first is None:
        raise InputError(
            "--wait is how long the first devices are waited for", hint="--canary 1 says how many"
        )
    health = health_of(reload, check, within)
    with told():
        transports = transports_of(names_of(device), names_of(group))
        remark_unprevented(watching)
        options = bundle_options(images, mean, std, labels)
        with (
            bundle_of(Path(artifact), store_of(store), options) as made,
            temporary_folder() as folder,
        ):
            remark_untrained(made, watching)
            golden_runner = phone_golden(binary, made) if binary else None
            bundle = without_slice(made, folder) if without_images else made
            work = Deployment(
                bundle, bundle.release(), keep, dry_run, golden_runner, watching.remark, health
            )

            def tell(result: DeployResult) -> None:
                if on_result:
                    on_result(result.as_record())

            return DeployReport.of(roll_out(transports, work, first, tell))


def health_of(reload: str, check: str, within: float | None) -> Health:
    """
    Raises:
        InputError: `within` is given, and nothing to be done in that time.
    """
    from edgekit.devices.deploy.health import CHECK_SECONDS, Health

    if within is not None and not check:
        raise InputError(
            "--within is how long the check is given", hint="--check CMD says what is to end with 0"
        )
    return Health(reload, check, CHECK_SECONDS if within is None else within)


def rollback(
    name: str,
    device: str | Sequence[str] = (),
    *,
    group: str | Sequence[str] = (),
    reload: str = "",
    check: str = "",
    within: float | None = None,
    benchmark_binary: PathLike | None = None,
    observer: Observer | None = None,
) -> DeployReport:
    """Put the release before the one in use back in use.

    Args:
        name: the recipe's. The others are those of `deploy`.
    """
    from edgekit.api.results import DeployReport
    from edgekit.devices.bench.phone_golden import phone_golden
    from edgekit.devices.deploy.deploy import on_each
    from edgekit.devices.deploy.rollback import roll_back

    watching, binary = observer or Silent(), path_of(benchmark_binary)
    health = health_of(reload, check, within)
    with told():
        golden_runner = phone_golden(binary) if binary else None

        def back(opened: Device) -> DeployResult:
            return roll_back(opened, name, golden_runner, watching.remark, health)

        return DeployReport.of(on_each(transports_of(names_of(device), names_of(group)), back))
