"""Bring models to devices, and measure them there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgekit.api.arguments import (
    PathLike,
    Triple,
    bundle_options,
    names_of,
    need_whole,
    path_of,
    remark_unprevented,
    remark_untrained,
    runtimes_of,
    store_of,
    transports_of,
)
from edgekit.devices.limits import MOST_THREADS
from edgekit.engine.observer import Observer, Silent
from edgekit.errors import InputError, need_folder, storage_errors
from edgekit.packages import told

if TYPE_CHECKING:
    from edgekit.api.results import BenchResult, BundleReport, VerifyReport
    from edgekit.devices.bench.report import DeviceReport
    from edgekit.devices.estimate.latency_model import LatencyModel


def bench(
    artifact: PathLike,
    device: str,
    *,
    images: PathLike | None = None,
    mean: Triple | None = None,
    std: Triple | None = None,
    labels: PathLike | None = None,
    threads: int | None = None,
    strict: bool = False,
    sustained: float = 0.0,
    benchmark_binary: PathLike | None = None,
    engine: Literal["CPU", "GPU", "NPU"] = "CPU",
    operators: bool = False,
    out: PathLike | None = None,
    store: PathLike | None = None,
    observer: Observer | None = None,
) -> BenchResult:
    """Measure a model on a device, and whether to believe it.

    Args:
        artifact: build/<recipe>/<target>, one of its variants' folders, a bundle or a model file.
        device: a name in the inventory.
        images, mean, std, labels: what a file from elsewhere is fed with.
        threads: instead of the target's.
        strict: 1024 runs and 60 s at least, as in MLPerf.
        sustained: seconds to run without a pause besides.
        benchmark_binary: of a phone without Python, the benchmark_model to run there.
        engine: what runs the model there.
        operators: time each operator there too, with one thread.
        out: where the report goes; build/devices/<device>/<name> unless named.

    Returns:
        the report, also of a run that is no result: see `BenchResult.check`.

    Raises:
        DeviceError: it could not be run to its end.
        InputError: the artifact or the device is none.
    """
    from edgekit.devices.bench.bench import bench as run
    from edgekit.devices.bench.benchmark_model import Benchmark
    from edgekit.devices.bench.operators import operator_noise, with_operators
    from edgekit.devices.bench.phone_bench import bench_phone
    from edgekit.devices.bundle.make import bundle_of
    from edgekit.devices.device import Device

    if benchmark_binary is None and engine != "CPU":
        raise InputError(
            f"--engine {engine}: a phone's {engine} is measured by its benchmark_model",
            hint="name the binary: --benchmark-binary FILE",
        )
    watching = observer or Silent()
    with told():
        tool = (
            Benchmark.model_validate({"binary": Path(benchmark_binary), "engine": engine})
            if benchmark_binary
            else None
        )
        if out:
            need_folder(Path(out), "--out")
        transport = transports_of((device,))[device]
        remark_unprevented(watching)
        options = bundle_options(images, mean, std, labels, threads, strict, sustained)
        cache = store_of(store)
        with bundle_of(Path(artifact), cache, options) as made:
            remark_untrained(made, watching)
            with Device(device, transport) as opened:
                report = (
                    bench_phone(made, opened, tool, watching.working)
                    if tool
                    else run(made, opened, watching.working)
                )
                if operators and not tool:
                    noise = operator_noise(Path(artifact))
                    report = with_operators(report, made, opened, noise, watching.working)
            folder = path_of(out) or Path("build/devices") / device / made.info.name
            return keep_report(report, folder, cache.root, watching)


def import_result(
    result: PathLike,
    *,
    bundle: PathLike | None = None,
    device: str | None = None,
    out: PathLike | None = None,
    store: PathLike | None = None,
    observer: Observer | None = None,
) -> BenchResult:
    """Read what run.sh of a bundle left on a device, checked as `bench` does.

    Args:
        bundle: where it does not lie beside the result.
        device: what to call the device; what its board calls itself unless named.
        out: where the report goes; build/devices/<device>/<model> unless named.

    Raises:
        InputError: it is no result, or its bundle is not there.
        IntegrityError: the two do not belong together.
    """
    from edgekit.devices.bench.bench import import_result as read
    from edgekit.engine.store import default_store

    if out:
        need_folder(Path(out), "--out")
    with told():
        report = read(Path(result), path_of(bundle), device)
        folder = Path("build/devices") / report.device.name / Path(report.artifact.file).stem
        root, watching = path_of(store) or default_store(), observer or Silent()
        watching.remark(report.identity.proof)
        return keep_report(report, path_of(out) or folder, root, watching)


def keep_report(report: DeviceReport, folder: Path, store: Path, observer: Observer) -> BenchResult:
    """Write a report and its page, and record them."""
    from edgekit.api.results import BenchResult
    from edgekit.history.recording import record_device_report
    from edgekit.report.device import write_device_report

    with storage_errors(folder, "--out"):
        page = write_device_report(report, folder)
    if line := record_device_report(store, report, page.with_suffix(".json")):
        observer.remark(line)
    return BenchResult(report=report, page=page)


def verify(device: str | Sequence[str], *, observer: Observer | None = None) -> VerifyReport:
    """Hold every deployed file on devices against its checksum.

    Args:
        device: a name in the inventory, or several.

    Returns:
        what is there, also where it is damaged: see `VerifyReport.check`.

    Raises:
        DeviceError: a device cannot be reached.
        InputError: none is named, or one is not in the inventory.
    """
    from edgekit.api.results import VerifyReport
    from edgekit.devices.deploy.releases import deployed_models
    from edgekit.devices.device import Device
    from edgekit.devices.lock import held

    watching, found = observer or Silent(), {}
    for name, way in transports_of(names_of(device), []).items():
        # A release that is being repaired is not damaged, and who measures is not disturbed.
        with Device(name, way) as there, held(there, watching.remark):
            found[name] = tuple(deployed_models(there))
    return VerifyReport(devices=found)


def bundle(
    artifact: PathLike,
    out: PathLike,
    *,
    force: bool = False,
    images: PathLike | None = None,
    mean: Triple | None = None,
    std: Triple | None = None,
    labels: PathLike | None = None,
    threads: int | None = None,
    strict: bool = False,
    sustained: float = 0.0,
    store: PathLike | None = None,
    observer: Observer | None = None,
) -> BundleReport:
    """Make a bundle to carry to a device, where sh run.sh runs it.

    Args:
        out: a folder to make, or a file that ends .tar.
        force: write over a bundle. The others are those of `bench`.

    Raises:
        InputError: the artifact is none, or something is missing, with what fixes it.
    """
    from edgekit.api.results import BundleReport
    from edgekit.devices.bundle.make import bundle_of
    from edgekit.devices.bundle.pack import pack_bundle, refuse_out
    from edgekit.devices.emulated_wheel import core_named, refuse_dying
    from edgekit.runtimes import find_runtimes

    watching = observer or Silent()
    refuse_out(Path(out), force)
    with told():
        remark_unprevented(watching)
        options = bundle_options(images, mean, std, labels, threads, strict, sustained)
        with bundle_of(Path(artifact), store_of(store), options) as made:
            remark_untrained(made, watching)
            core = core_named(made.info.cpu)
            if core:
                where = f"a {core.title()}, the processor of {made.info.target}"
                runtime = find_runtimes()[made.info.runtime]()
                refuse_dying(runtime, core, where, watching.remark)
            pack_bundle(made, Path(out))
            return BundleReport(path=Path(out), release=made.release(), info=made.info)


def calibrate(
    device: str,
    *,
    runtimes: Sequence[str] = (),
    threads: int = 4,
    observer: Observer | None = None,
) -> LatencyModel:
    """Measure probe models on a device, for `estimate`.

    Args:
        runtimes: litert and onnxruntime unless named.

    Raises:
        InputError: there is no such device or runtime. DeviceError: it could not be measured.
        MissingPackage: what makes the probes is not installed.
    """
    from edgekit.devices.device import Device
    from edgekit.devices.engines import DEFAULT_RUNTIMES
    from edgekit.devices.estimate.calibrate import calibrate as run
    from edgekit.devices.inventory import find_device
    from edgekit.engine.store import Store, default_store

    need_whole("threads", threads, MOST_THREADS)
    with told():
        chosen, transport = runtimes_of(runtimes or DEFAULT_RUNTIMES), find_device(device)
        with Device(device, transport) as opened:
            progress = (observer or Silent()).working
            return run(opened, chosen, threads, Store(default_store()), progress)
