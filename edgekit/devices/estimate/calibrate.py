"""Measure the probes on a device, and keep what they tell: `edgekit calibrate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgekit import __version__
from edgekit.agent import agent
from edgekit.devices.agent_answer import Job
from edgekit.devices.agent_result import AgentResult
from edgekit.devices.bench.validity import timing_reasons
from edgekit.devices.bundle.protocol import Protocol
from edgekit.devices.device import Device, messages_to
from edgekit.devices.emulated_wheel import core_named
from edgekit.devices.engines import library_of
from edgekit.devices.estimate.cycle_scale import scale_on
from edgekit.devices.estimate.latency_model import (
    FEATURES,
    Fit,
    LatencyModel,
    ProbeSample,
    fit,
    merged,
)
from edgekit.devices.estimate.probes import PRECISIONS, PROBES, Made, Probe, made
from edgekit.devices.lock import held
from edgekit.engine.action import Progress
from edgekit.engine.artifact import Json
from edgekit.engine.atomic import write_atomically
from edgekit.engine.records import read_record
from edgekit.engine.store import Store, default_store
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import STORE_VARIABLE, DeviceError, Fault, InputError, storage_errors
from edgekit.evidence import Evidence, Validity
from edgekit.runtimes import find_runtimes

PROTOCOL = Protocol(warmup_runs=3, warmup_seconds=0.5, runs=20, seconds=2.0, processes=1)
"""One process a probe: that there are many takes the place of several processes of each."""
MAX_TRIES = 3
"""Of a probe, before what disturbed it is taken for the device's state."""
IMAGES = 4


def calibrate(
    device: Device,
    runtimes: tuple[str, ...],
    threads: int,
    store: Store,
    progress: Progress,
    probes: tuple[Probe, ...] = PROBES,
) -> LatencyModel:
    """Run the probes on an open device, fit their times, and keep the result.

    Raises:
        InputError: an emulated device, whose wall time says nothing, or too few probes.
        DeviceError: a probe could not be run, or its run is no result: it was throttled,
            disturbed, or the runtime fell back.
    """
    _refuse_unmeasured(device.transport.evidence, device.name)
    if len(probes) <= len(FEATURES) + 1:
        raise InputError(f"{len(probes)} probes; more than {len(FEATURES) + 1} are needed")
    files = list(_make(probes, runtimes, store, progress))
    protocol = PROTOCOL.model_copy(update={"threads": (threads,)})
    results: list[AgentResult] = []
    with temporary_folder() as folder:
        sent = _lay_out(files, protocol, folder)
        with held(device, messages_to(progress)), device.work(sent) as where:
            for number, one in enumerate(files):
                progress(number, len(files), f"{device.name}: {one.probe.label} {one.precision}")
                results.append(_measure(device, where, number, one, protocol))
    path = calibration_path(device.name)
    fresh = _with_scales(_found(device, files, results, protocol), files, store, progress)
    found = merged(read_calibration(device.name), fresh)
    with storage_errors(path, STORE_VARIABLE):
        write_atomically(path, found.model_dump_json(indent=1))
    return found


def calibration_path(device: str) -> Path:
    return default_store() / "calibrations" / f"{device}.json"


def read_calibration(device: str) -> LatencyModel | None:
    """What is known of a device; None where it was never calibrated.

    Raises:
        InputError: the file cannot be read.
    """
    path = calibration_path(device)
    if not path.exists():
        return None
    hint = f"remove it, then: edgekit calibrate --device {device}"
    return read_record(LatencyModel, path, "calibration of this edgekit", hint)


def _refuse_unmeasured(evidence: Evidence, name: str) -> None:
    if evidence is not Evidence.MEASURED:
        raise InputError(
            f"{name} cannot be calibrated: what is seen there is {evidence}, not measured, and "
            "its wall time says nothing of a board",
            hint="calibrate the board itself; without one `edgekit estimate` gives a lower bound",
        )


def _make(
    probes: tuple[Probe, ...], runtimes: tuple[str, ...], store: Store, progress: Progress
) -> Iterator[Made]:
    total = len(probes) * len(runtimes)
    for i, name in enumerate(runtimes):
        for j, probe in enumerate(probes):
            progress(i * len(probes) + j, total, f"make probes for {name}: {probe.label}")
            yield from made(probe, find_runtimes()[name](), PRECISIONS, store, lambda *_: None)


def _lay_out(files: list[Made], protocol: Protocol, folder: Path) -> dict[str, Path]:
    """What is sent, by its name there: the agent, images of each size, the models, their jobs."""
    sent = {"agent.py": Path(agent.__file__)}
    for size in {one.probe.image_size for one in files}:
        shape = (IMAGES, *size, 3)
        sent[f"images-{size}.npy"] = folder / f"images-{size}.npy"
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        np.save(sent[f"images-{size}.npy"], images)
    for number, one in enumerate(files):
        names = [f"{number}-{file.name}" for file in one.files]
        sent |= dict(zip(names, one.files, strict=True))
        sent[_job(number)] = folder / _job(number)
        sent[_job(number)].write_text(
            json.dumps(_job_of(one, names[0], protocol)), encoding="utf-8"
        )
    return sent


def _job_of(one: Made, path: str, protocol: Protocol) -> Json:
    model = {
        "id": one.probe.label,
        "path": path,
        "runtime": one.runtime,
        "form": one.form.model_dump(mode="json"),
    }
    images = f"images-{one.probe.image_size}.npy"
    plan = {"images": images, **protocol.model_dump(mode="json")}
    return {"id": one.probe.label, "threads": 1, "models": [model], "protocol": plan}


def _job(number: int) -> str:
    return f"job-{number}.json"


def _measure(device: Device, where: str, number: int, one: Made, protocol: Protocol) -> AgentResult:
    message, asked = "", Job.model_validate(_job_of(one, "", protocol))
    for _ in range(MAX_TRIES):
        result = device.run_agent(where, _job(number), lambda *_: None, asked)
        if result.board.emulator:
            _refuse_unmeasured(Evidence.EMULATED, device.name)
        reasons = timing_reasons(result, protocol)
        message = "; ".join(r.words for r in reasons if r.validity is Validity.INVALID)
        if not message:
            return result
    raise DeviceError(
        f"{device.name} is not calibrated: {one.probe.label} in {one.precision} on {one.runtime} "
        f"gave no result in {MAX_TRIES} tries: {message}",
        hint="fix the cause (cooling, power, other jobs) and calibrate again; the probes are kept",
        fault=Fault.NO_RESULT,
    )


def _found(
    device: Device, files: list[Made], results: list[AgentResult], protocol: Protocol
) -> LatencyModel:
    threads, last = protocol.threads[0], results[-1]
    doubts = [
        r
        for result in results
        for r in timing_reasons(result, protocol)
        if r.validity is Validity.WARN
    ]
    return LatencyModel(
        edgekit=__version__,
        device=device.name,
        address=device.transport.address,
        cpu=last.environment.cpu,
        cores=last.environment.cores or 1,
        kernel=last.board.kernel,
        environment=last.environment.model_dump(exclude_unset=True),
        warnings=tuple({r.cause: r.words for r in doubts}.values()),
        fits=tuple(_fits(files, results, threads)),
    )


def _with_scales(
    found: LatencyModel, files: list[Made], store: Store, progress: Progress
) -> LatencyModel:
    """With what estimates from counted instructions are off there, where the core is modelled and
    one thread was measured. What counting needs and is missing is no fault of the calibration."""
    core = core_named(found.cpu)
    if core is None:
        return found
    fits, warnings = [], [*found.warnings]
    for one in found.fits:
        of_it = [f for f in files if (f.runtime, f.precision) == (one.runtime, one.precision)]
        seconds = [sample.seconds for sample in one.samples]
        scale = None
        try:
            if one.threads == 1:
                scale = scale_on(of_it, seconds, core, store, messages_to(progress))
        except DeviceError as error:
            warnings.append(f"estimates from counted instructions were not scaled: {error.message}")
        fits.append(one.model_copy(update={"cycle_scale": scale}))
    update = {"fits": tuple(fits), "warnings": tuple(dict.fromkeys(warnings))}
    return found.model_copy(update=update)


def _fits(files: list[Made], results: list[AgentResult], threads: int) -> Iterator[Fit]:
    groups: dict[tuple[str, str], list[ProbeSample]] = {}
    libraries = {}
    for one, result in zip(files, results, strict=True):
        seconds = float(np.median(result.protocol[threads][0].samples))
        sample = ProbeSample(probe=one.probe.label, workload=one.workload, seconds=seconds)
        groups.setdefault((one.runtime, one.precision), []).append(sample)
        there = result.environment
        libraries[one.runtime] = str(library_of(there.versions, one.runtime, there.litert))
    for (runtime, precision), samples in groups.items():
        yield fit(
            tuple(samples),
            runtime=runtime,
            library=libraries[runtime],
            precision=precision,
            threads=threads,
            measured=results[-1].ended,
        )
