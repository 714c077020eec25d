"""A device that stands for a target, as a machine that models are timed on."""

from __future__ import annotations

import json
import shlex
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from edgekit.agent import agent
from edgekit.data.images import spread
from edgekit.devices.agent_answer import Job
from edgekit.devices.agent_result import AgentResult, ReportPart
from edgekit.devices.bench.watched import watched_reasons
from edgekit.devices.bundle.bundle import IMAGES, JOB
from edgekit.devices.device import Device, check_machine, messages_to
from edgekit.devices.engines import DISTRIBUTIONS
from edgekit.devices.files import patience
from edgekit.devices.lock import held
from edgekit.engine.action import Progress
from edgekit.engine.artifact import Json
from edgekit.engine.records import BadRecord, parse_record
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, Fault
from edgekit.evaluation.measure import PROTOCOL
from edgekit.evaluation.timing import Candidate, MeasureResult, Timing
from edgekit.evidence import Evidence, Validity
from edgekit.runtimes import find_runtimes
from edgekit.spec.target import Target, machine_of
from edgekit.transports.base import Listener, Transport

Found = TypeVar("Found")
MODELS = "models.tar"
FINGERPRINT = """
import json, platform
from importlib.metadata import version
def read(path):
    try:
        return open(path).read().strip(chr(0) + chr(10))
    except OSError:
        return None
def known(name):
    try:
        return version(name)
    except Exception:
        return None
names = DISTRIBUTIONS
part = [x.split()[-1] for x in (read("/proc/cpuinfo") or "").splitlines() if x[:8] == "CPU part"]
print(json.dumps({"versions": {name: known(name) for name in names}, "kernel": platform.release(),
                  "python": platform.python_version(), "id": read("/etc/machine-id"),
                  "serial": read("/proc/device-tree/serial-number"),
                  "part": part[-1] if part else None}))
""".replace("DISTRIBUTIONS", repr(DISTRIBUTIONS))
"""Printed in one line by the Python that will run the agent."""


class Fingerprint(ReportPart):
    """What that line tells; None for what the device does not."""

    versions: dict[str, str | None]
    kernel: str
    python: str
    id: str | None
    serial: str | None
    part: str | None = None
    """Of an Arm processor, the number of its core."""


def fingerprint_of(name: str, transport: Transport) -> Json:
    """What figures of a device depend on beside the model: the board, its kernel, its libraries.

    Raises:
        DeviceError: it cannot be reached, or has no Python to run the agent with.
    """
    with Device(name, transport) as device:
        done = device.transport.run(f"{device.python} -c {shlex.quote(FINGERPRINT)}")
        if done.code:
            raise DeviceError(
                f"{name}: no Python runs there to measure a build with: {done.err.strip()[-200:]}",
                hint=transport.without_python.format(name=name),
                fault=Fault.MISSING_RUNTIME,
            )
        try:
            return parse_record(Fingerprint, done.out.strip().rpartition("\n")[2]).model_dump()
        except BadRecord as error:
            raise DeviceError(
                f"{name}: its Python does not tell what the device is: {error}",
                hint=f"edgekit device check {name}",
            ) from error


@dataclass(frozen=True)
class TimingDevice:
    """A device of the inventory, and the target it stands for."""

    name: str
    transport: Transport
    target: Target
    fingerprint: Json = field(default_factory=dict)
    """What the device was when the build was planned; see `fingerprint_of`."""

    @property
    def is_timed(self) -> bool:
        """Whether its milliseconds mean anything: an emulator's do not."""
        return self.transport.evidence is Evidence.MEASURED

    @property
    def threads(self) -> int:
        return self.target.threads

    @property
    def evidence(self) -> Evidence:
        return self.transport.evidence

    def identity(self) -> Json:
        return {
            "device": self.name,
            "entry": self.transport.model_dump(mode="json", exclude={"groups"}),
            "threads": self.threads,
            "cpu": self.target.cpu,
            "isa": self.target.isa,
            "fingerprint": self.fingerprint,
            "protocol": PROTOCOL,
        }

    def time(self, candidates: list[Candidate], images: Path, progress: Progress) -> MeasureResult:
        """One run of the agent, at the target's number of threads, while the device is watched.

        Raises:
            DeviceError: it could not be run to its end, or was slowed down meanwhile.
        """
        with temporary_folder() as folder:
            files = self._files(candidates, images, folder)
            asked = parse_record(Job, files[JOB].read_bytes())
            with (
                Device(self.name, self.transport) as device,
                held(device, messages_to(progress)),
            ):
                check_machine(device, machine_of(self.target.isa), self.target.name)
                size = files[MODELS].stat().st_size
                device.files.need(2 * size, f"{len(candidates)} models, packed and unpacked,")
                progress(0, len(candidates), f"{self.name}: sending models")
                try:
                    with device.work(files) as where:
                        unpack = f"cd {shlex.quote(where)} && tar xf {MODELS}"
                        device.sh(unpack, timeout=patience(size))
                        result = device.run_agent(where, JOB, progress, asked)
                finally:
                    device.files.drop(files[MODELS])
        self._hold_to_rules(result, messages_to(progress))
        timings = {
            name: Timing(entry.load, entry.first, np.asarray(entry.rounds))
            for name, entry in result.latency.items()
        }
        environment = result.environment.model_dump(exclude_unset=True)
        return MeasureResult(environment, timings=timings)

    def on_one(self, work: Callable[[TimingDevice], Found], on_message: Listener) -> Found:
        """Do some work on a device: this one, or of several one that is free."""
        return work(self)

    def _files(self, candidates: list[Candidate], images: Path, folder: Path) -> dict[str, Path]:
        """What the device is sent. A table has hundreds of models: they go as one file."""
        models = []
        with tarfile.open(folder / MODELS, "w") as archive:
            for number, candidate in enumerate(candidates):
                runtime = find_runtimes()[candidate.runtime]
                for name in runtime.files():
                    archive.add(candidate.path.with_name(name), f"{number}/{name}")
                model = {"id": candidate.id, "path": f"{number}/{runtime.file}"}
                if len(runtime.devices) > 1:
                    model["device"] = runtime.device_for(self.target.device)
                form = candidate.form.model_dump(mode="json")
                models.append({**model, "runtime": runtime.name, "form": form})
        pixels = np.load(images, mmap_mode="r")
        np.save(folder / IMAGES, pixels[spread(len(pixels), 8)])
        latency = {"images": IMAGES, **PROTOCOL}
        job = {"threads": self.threads, "models": models, "latency": latency, "watch": True}
        (folder / JOB).write_text(json.dumps(job), encoding="utf-8")
        made = {name: folder / name for name in (MODELS, IMAGES, JOB)}
        return {"agent.py": Path(agent.__file__), **made}

    def _hold_to_rules(self, result: AgentResult, on_message: Listener) -> None:
        """
        Args:
            on_message: told what makes the timings doubtful.

        Raises:
            DeviceError: the timings say nothing of the device.
        """
        found = list(watched_reasons(result))
        for doubt in (r for r in found if r.validity is Validity.WARN):
            on_message(f"{self.name}: {doubt.words}")
        reasons = [r.words for r in found if r.validity is Validity.INVALID]
        if result.board.emulator:
            reasons.append(f"it is emulated by {result.board.emulator}, which has no latency")
        if reasons:
            raise no_result(self.name, "; ".join(reasons))


def no_result(device: str, reason: str) -> DeviceError:
    return DeviceError(
        f"the run on {device} is no result: {reason}",
        hint="fix the cause and build again; nothing else is done twice",
        fault=Fault.NO_RESULT,
    )
