"""What can be said of a model's latency where it was not measured: `edgekit estimate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edgekit.build_folder.reading import published, read_report
from edgekit.build_folder.report import Report
from edgekit.cycle_model.file_estimate import RUNTIMES, CycleEstimate, estimate_file
from edgekit.devices.bundle.make import variant_of
from edgekit.devices.check import probe_python
from edgekit.devices.device import Device
from edgekit.devices.emulated_wheel import core_named
from edgekit.devices.engines import library_of
from edgekit.devices.estimate.calibrate import read_calibration
from edgekit.devices.estimate.latency_model import LatencyModel, NoEstimate, command, predict
from edgekit.devices.estimate.modelled_target import need_core
from edgekit.devices.estimate.roofline import bound_of
from edgekit.devices.estimate.workload import Workload, workload_in
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, EdgekitError, InputError
from edgekit.evidence import Bound, Measurement
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.description import Port
from edgekit.runtimes.contract.named_file import describe_named
from edgekit.spec.target import Target
from edgekit.transports.base import Listener, Transport, ignore
from edgekit.transports.emulated import Emulated

THREADS = 4
"""Where neither a build nor the user says how many."""


class Estimate(BaseModel):
    """A file's work, a latency where a calibration speaks of it, and a bound where it does not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    runtime: str
    precision: str
    threads: int
    workload: Workload
    latency: Measurement | None
    """Milliseconds on the calibrated device."""
    reason: str = ""
    """Why there is none."""
    advice: str = ""
    """What would give one."""
    library: str | None = None
    """What the device has now; None where it could not be asked."""
    bound: Bound | None
    """None where a calibration gives a latency."""
    bound_of: str = ""
    """Whose processor the bound is of: a device's is not known before it was calibrated."""
    counted: CycleEstimate | None = None
    """What the latency rests on where it was computed from executed instructions; the bound stays
    beside it."""
    scaled: Measurement | None = None
    """The same on a calibrated device, with the factor that its probes tell; `latency` is then that
    of the probes alone."""
    against: str | None = None
    """The file that `ratio` is to."""
    ratio: Measurement | None = None


def estimate_on(
    path: Path,
    name: str,
    transport: Transport,
    threads: int | None = None,
    store: Store | None = None,
    on_message: Listener = ignore,
) -> Estimate:
    """By the calibration of a device of the inventory; a bound where there is none, or where it
    does not reach. The device is asked for its library's version, where it can be reached. Where
    the calibration has scaled estimates from counted instructions, theirs is told too.

    Args:
        store: where counts are kept; without one nothing is counted.
        path: a variant's folder, a target's folder (its choice), or a model file.
        threads: instead of the build's.

    Raises:
        InputError: `path` is none of these.
    """
    runtime, file, report = _located(path)
    threads = threads or (report.threads if report else THREADS)
    model = _Model.of(runtime, file, threads)
    if isinstance(transport, Emulated):
        return model.bounded(transport.cpu, name, f"{name} is emulated: it has no latency", "")
    calibration = read_calibration(name)
    if calibration is None or calibration.address != transport.address:
        reason = f"{name} is not calibrated"
        if calibration:
            reason = f"{name} was {calibration.address} when it was calibrated"
        whose = "the build's target, if that is what the device has"
        advice = command(name, runtime.name, threads)
        return model.bounded(report.cpu if report else None, whose, reason, advice)
    library = _library_on(name, transport, runtime)
    try:
        latency = predict(calibration, model.workload, runtime.name, threads, library)
    except NoEstimate as error:
        bounded = model.bounded(calibration.cpu, name, error.message, error.hint or "")
        return bounded.model_copy(update={"library": library})
    found = model.estimated(latency, library)
    return found.model_copy(update=_scaled(model, calibration, store, on_message))


def _scaled(
    model: _Model, calibration: LatencyModel, store: Store | None, on_message: Listener
) -> dict[str, object]:
    """What counted instructions say of a calibrated device, as it is and with its scale."""
    key = (model.runtime.name, model.workload.precision, 1)
    scale = next((one.cycle_scale for one in calibration.fits if one.key == key), None)
    core = core_named(calibration.cpu)
    if scale is None or core is None or store is None or model.threads != 1:
        return {}
    try:
        counted = estimate_file(model.runtime, model.file, model.port, core, store, on_message)
    except DeviceError as error:
        on_message(f"its instructions were not counted: {error.message}")
        return {}
    return {"counted": counted, "scaled": scale.applied(counted, calibration.device)}


def estimate_for(
    path: Path,
    target: Target,
    threads: int | None = None,
    against: Path | None = None,
    store: Store | None = None,
    on_message: Listener = ignore,
) -> Estimate:
    """With one thread, from the instructions that run on the target's core where that is modelled;
    else a bound on its processor.

    Args:
        threads: of the bound.
        against: another file, for a ratio.
        store: where counts are kept; without one nothing is run, and it stays at the bound.

    Raises:
        InputError: as `estimate_on`, or the target does not run such files, or it cannot be
            estimated where `against` asks for a ratio.
        DeviceError: likewise, for want of a program.
    """
    model = _for_target(path, target, threads)
    cpu = target.cpu if target.device == "CPU" else None
    if store is None:
        advice = command("NAME", model.runtime.name, model.threads)
        return model.bounded(cpu, target.name, "nothing was run", advice)
    try:
        counted = model.counted(target, store, on_message, operators=True)
    except (InputError, DeviceError) as error:
        if against:
            raise
        advice = error.hint or command("NAME", model.runtime.name, model.threads)
        return model.bounded(cpu, target.name, error.message, advice)
    bounded = replace(model, threads=1).bounded(cpu, target.name, "", "")
    found: dict[str, object] = {"counted": counted, "latency": counted.latency}
    if against:
        other = _for_target(against, target, threads).counted(target, store, on_message)
        found |= {"against": str(against), "ratio": counted.ratio_to(other)}
    return bounded.model_copy(update={**found, "library": counted.library})


def _for_target(path: Path, target: Target, threads: int | None) -> _Model:
    """
    Raises:
        InputError: the target does not run such files, or it is none.
    """
    runtime, file, _ = _located(path)
    known = dict.fromkeys(variant.runtime for variant in target.variants)
    if runtime.name not in known:
        raise InputError(
            f"{file.name} is of {runtime.name}, and target {target.name} runs {', '.join(known)}",
            hint="name a file of one of these, or another target",
        )
    return _Model.of(runtime, file, threads or target.threads)


@dataclass(frozen=True)
class _Model:
    """The file that is asked about, and on how many threads it would run."""

    runtime: Runtime
    file: Path
    workload: Workload
    port: Port
    threads: int

    @classmethod
    def of(cls, runtime: Runtime, file: Path, threads: int) -> _Model:
        """
        Raises:
            InputError: the file is no model.
        """
        try:
            (described,) = describe_named(runtime, file)
            return cls(runtime, file, workload_in(described, file), described.input, threads)
        except InputError:
            raise
        except EdgekitError as error:
            raise InputError(error.message, hint=error.hint) from error

    def counted(
        self, target: Target, store: Store, on_message: Listener, operators: bool = False
    ) -> CycleEstimate:
        """
        Raises:
            InputError: nothing models the target's core, or counts this runtime.
            DeviceError: a program is missing, or the run failed.
        """
        if self.runtime.name not in RUNTIMES or target.device != "CPU":
            raise InputError(f"{self.runtime.name} on {target.device} is not emulated")
        core = need_core(target)
        return estimate_file(self.runtime, self.file, self.port, core, store, on_message, operators)

    def estimated(self, latency: Measurement | None, library: str | None) -> Estimate:
        return Estimate(
            file=str(self.file),
            runtime=self.runtime.name,
            precision=self.workload.precision,
            threads=self.threads,
            workload=self.workload,
            latency=latency,
            library=library,
            bound=None,
        )

    def bounded(self, cpu: str | None, whose: str, reason: str, advice: str) -> Estimate:
        """No latency: what any model takes at least on a processor."""
        bound = bound_of(self.workload, cpu, self.threads)
        absent = {"reason": reason, "advice": advice, "bound": bound, "bound_of": whose}
        return self.estimated(None, None).model_copy(update=absent)


def _located(path: Path) -> tuple[Runtime, Path, Report | None]:
    """What runs the model file that is meant, the file, and its build's report, if it is of one."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    folder = variant_of(path)
    if folder:
        runtime = find_runtimes()[published(folder).runtime]()
        return runtime, folder / runtime.file, read_report(folder.parent)
    known = {Path(r.file).suffix: r for r in find_runtimes().values()}
    if path.is_dir() or path.suffix not in known:
        raise InputError(
            f"{path} is neither a folder of a build nor a model file",
            hint=f"name build/<recipe>/<target>, a variant in it, or a file: {', '.join(known)}",
        )
    return known[path.suffix](), path, None


def _library_on(name: str, transport: Transport, runtime: Runtime) -> str | None:
    """What the device has now; None where it cannot be asked, or lacks it."""
    try:
        with Device(name, transport) as device:
            packages = probe_python(device, device.python).packages
    except DeviceError:
        return None
    return library_of(packages, runtime.name)
