"""Measure what a stage left on a device of the user's: the steps of a build with `--device`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from edgekit.build_folder.report import OnDeviceRecord
from edgekit.data.images import spread
from edgekit.devices.bench.bench import bench
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bench.timing_device import TimingDevice, no_result
from edgekit.devices.bundle.bundle import Bundle, write_bundle
from edgekit.devices.bundle.bundled_model import subject_of
from edgekit.devices.bundle.info import Info
from edgekit.devices.bundle.protocol import SLICE, Protocol
from edgekit.devices.device import Device, messages_to
from edgekit.engine.action import Action, Context, Inputs, Progress
from edgekit.engine.artifact import Artifact, Json, Metadata
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, Fault
from edgekit.evaluation.measure import agent_digest
from edgekit.evidence import Evidence, InvalidityCause
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.runtimes.contract.named_file import describe_named
from edgekit.spec.target import machine_of

DEVICE_REPORT = "device-report.json"


class OnDevice(Action):
    """Run one compiled artifact on a device, and hold it against the host's scores of it."""

    libraries = ("numpy", "scipy")

    def __init__(self, device: TimingDevice, runtime: str) -> None:
        self.device = device
        self.runtime = runtime
        self.protocol = Protocol().at(device.target.threads)

    def settings(self) -> Json:
        protocol = self.protocol.model_dump(mode="json") if self.device.is_timed else None
        own = {"runtime": self.runtime, "protocol": protocol, "agent": agent_digest()}
        return {**self.device.identity(), **own}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        runtime = find_runtimes()[self.runtime]()
        with temporary_folder() as folder:
            bundle = self._bundle(inputs, runtime, folder)
            report = self.device.on_one(
                lambda one: _measured(one, bundle, context.progress), messages_to(context.progress)
            )
        (into / DEVICE_REPORT).write_text(report.model_dump_json(indent=1), encoding="utf-8")
        return Metadata()

    def _bundle(self, inputs: Inputs, runtime: Runtime, folder: Path) -> Bundle:
        model, metadata = inputs["model"], inputs["model"].described_by(CompiledMetadata)
        file = model.file(runtime.file)
        (described,) = describe_named(runtime, file)
        card = metadata.card
        images = np.load(inputs["images"].file("images.npy"), mmap_mode="r")
        chosen = spread(len(images), SLICE)
        few = np.array(images[chosen])
        copied = {name: model.file(name) for name in runtime.files()}
        beside = None
        if "baseline" in inputs and self.device.is_timed:
            names = {name: f"float-{name}" for name in copied}
            copied |= {names[name]: inputs["baseline"].file(name) for name in names}
            form = inputs["baseline"].described_by(CompiledMetadata).form
            beside = names[runtime.file], form
        lineage = [{"digest": digest} for digest in (*model.parents, model.digest)]
        info = Info(
            name=self.device.target.name,
            target=self.device.target.name,
            machine=machine_of(self.device.target.isa),
            cpu=self.device.target.cpu,
            threads=self.device.target.threads,
            runtime=self.runtime,
            device=runtime.device_for(self.device.target.device),
            form=metadata.form,
            subject=subject_of(
                file,
                runtime,
                described.operators,
                metadata.precision,
                card,
                lineage,
            ),
            classes=card.classes,
            images=len(few),
            labelled=True,
            input_source=f"{len(few)} images of the split the build is judged on",
            input_sha256=hashlib.sha256(few.tobytes()).hexdigest(),
            protocol=self.protocol,
        )
        labels = np.load(inputs["images"].file("labels.npy"))[chosen]
        scores = np.load(inputs["validation"].file("scores.npy"))[chosen]
        return write_bundle(folder, info, copied, few, labels, scores, beside)


def _measured(device: TimingDevice, bundle: Bundle, progress: Progress) -> DeviceReport:
    with Device(device.name, device.transport) as opened:
        report = bench(bundle, opened, progress)
    if report.invalid():
        raise no_result(device.name, report.invalid())
    _hold_to_target(report, device)
    return report


def _hold_to_target(report: DeviceReport, device: TimingDevice) -> None:
    """
    Raises:
        DeviceError: what was measured is another processor than the target's, or an emulator
            that the inventory takes for a device.
    """
    found, target = report.device, device.target
    if device.is_timed and report.evidence is Evidence.EMULATED:
        raise DeviceError(
            f"{device.name} is emulated by {found.emulator}: it has no latency",
            hint=f"edgekit device add NAME --emulated {found.cpu}",
            fault=Fault.WRONG_ARCHITECTURE,
        )
    other = [r.words for r in report.reasons if r.cause is InvalidityCause.OTHER_PROCESSOR]
    if other:
        raise DeviceError(
            f"{device.name}: {other[0]}",
            hint=f"build for the target of that processor, or give a target file with `cpu: "
            f"{found.cpu}` instead of {target.name}",
            fault=Fault.WRONG_ARCHITECTURE,
        )


def read_device_report(artifact: Artifact) -> DeviceReport:
    artifact.verify()
    return artifact.read(DEVICE_REPORT, DeviceReport)


def record_of(report: DeviceReport) -> OnDeviceRecord:
    """The figures of a device report that a build is judged by."""
    found = report.correctness
    assert found.top1
    assert found.agreement
    assert found.change
    return OnDeviceRecord(
        device=report.device.name,
        cpu=report.device.cpu,
        library=report.runtime.library,
        started=report.identity.started,
        evidence=report.evidence,
        threads=report.runtime.threads,
        top1=found.top1,
        agreement=found.agreement,
        change=found.change,
        median=report.median,
        ratio=report.ratio,
        validity=report.validity,
        reasons=report.reasons,
    )
