"""The golden images of a bundle on a phone without Python: what a release is tried out with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.devices.agent_result import Golden
from edgekit.devices.bench.benchmark_model import Benchmark
from edgekit.devices.bench.benchmark_scores import scores
from edgekit.devices.bundle.bundle import GOLDEN_INPUT, GOLDEN_SCORES, INFO, MAKE_ONE, Bundle
from edgekit.devices.device import Device
from edgekit.engine.action import Progress
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.evaluation.arrays import read_array
from edgekit.runtimes import find_runtimes


def phone_golden(binary: Path, bundle: Bundle | None = None) -> Callable[[Device, str], Golden]:
    """What runs the golden images of a release in a folder of the device, without Python there.

    Args:
        binary: the benchmark_model to run there.
        bundle: the release to run; where it is on the device only, it is read from there.

    Raises:
        InputError: the bundle's model is no TFLite file.
    """
    if bundle:
        need_tflite(bundle)

    def run_golden(device: Device, folder: str) -> Golden:
        with temporary_folder() as here:
            release = bundle or _fetched(device, folder, here)
            need_tflite(release)
            benchmark = with_protocol(release, Benchmark(binary=binary))
            there = f"{folder}/{release.info.subject.file}"
            return golden_of(release, device, benchmark, lambda *_: None, there)

    return run_golden


def _fetched(device: Device, folder: str, here: Path) -> Bundle:
    """What the golden run needs of a release on the device."""
    for name in (INFO, GOLDEN_INPUT, GOLDEN_SCORES):
        device.transport.pull(f"{folder}/{name}", here / name)
    release = Bundle(here)
    file = Path(release.info.subject.file).name
    device.transport.pull(f"{folder}/{file}", here / file)
    return release


def need_tflite(bundle: Bundle) -> None:
    """
    Raises:
        InputError: the bundle's model is no TFLite file.
    """
    runtime = find_runtimes().get(bundle.info.runtime)
    if runtime is None or not runtime.file.endswith(".tflite"):
        raise InputError(
            f"benchmark_model runs TFLite files, and {bundle.info.subject.file} is none",
            hint="name the variant of LiteRT, e.g. build/<recipe>/android/litert",
        )


def with_protocol(bundle: Bundle, benchmark: Benchmark) -> Benchmark:
    """With the threads, the runs and the seconds of a bundle."""
    protocol = bundle.info.protocol
    return benchmark.model_copy(
        update={
            "threads": bundle.info.threads,
            "warmup_runs": protocol.warmup_runs,
            "warmup_seconds": protocol.warmup_seconds,
            "runs": protocol.runs,
            "seconds": protocol.seconds,
            "pin": protocol.pin,
        }
    )


def golden_of(
    bundle: Bundle,
    device: Device,
    benchmark: Benchmark,
    progress: Progress,
    there: str | None = None,
) -> Golden:
    """How far the device is from the golden scores.

    Args:
        there: the model file on the device; it is sent unless named.

    Raises:
        InputError, DeviceError: as `benchmark_scores.scores`; or scores that are no numbers.
    """
    found = scores_of(GOLDEN_INPUT, bundle, device, benchmark, progress, there)
    if not np.isfinite(found).all():
        raise DeviceError(
            f"{device.name}: scores of the golden images are no numbers",
            hint="the engine there cannot compute this model; ask for another one",
            fault=Fault.WRONG_RESULT,
        )
    expected = read_array(bundle.folder / GOLDEN_SCORES, MAKE_ONE)
    if expected.shape != found.shape:
        raise InputError(
            f"{bundle.folder / GOLDEN_SCORES} is of shape {expected.shape}, and the model gives "
            f"{found.shape}",
            hint=MAKE_ONE,
        )
    return Golden(
        max_abs_diff=float(np.abs(found - expected).max()),
        spread=float(np.ptp(expected)),
        same_top1=int(np.sum(found.argmax(axis=1) == expected.argmax(axis=1))),
        images=len(expected),
    )


def scores_of(
    name: str,
    bundle: Bundle,
    device: Device,
    benchmark: Benchmark,
    progress: Progress,
    there: str | None = None,
) -> NDArray[np.float32]:
    """The scores of one of a bundle's arrays of images."""
    inputs = read_array(bundle.folder / name, MAKE_ONE)
    inputs = bundle.info.form.prepare(inputs) if bundle.info.form else inputs
    model = bundle.folder / bundle.info.subject.file
    return scores(device, benchmark, model, inputs, progress, there)
