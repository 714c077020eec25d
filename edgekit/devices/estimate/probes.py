"""Small models that a device is calibrated with: what edge classifiers are made of, spread out.

Depthwise and ordinary convolutions, squeeze-excite, three kinds of activation, narrow and wide
networks, 96 to 224 pixels, few classes and a thousand: 2 to 1100 million multiply-accumulates.
Weights are random: they change nothing about the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from edgekit.data.size import Size
from edgekit.devices.estimate.workload import Workload, workload_of
from edgekit.engine.action import Action, Context, Inputs, Progress, library_versions
from edgekit.engine.artifact import Artifact, Json, Metadata, digest_of
from edgekit.engine.store import Store
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.runtimes.contract.settings import Quantization

PRECISIONS = ("int8", "float32")
MID_GREY = (0.5, 0.5, 0.5)
"""Mean and standard deviation: so the int8 file takes pixels as they are, like those that ship."""
CALIBRATION_IMAGES = 4


class Probe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    arch: str
    image_size: Size
    classes: int

    @property
    def label(self) -> str:
        return f"{self.arch}-{self.image_size}-{self.classes}"


PROBES = tuple(
    Probe(arch=arch, image_size=Size.square(size), classes=classes)
    for arch, size, classes in (
        ("mobilenetv3_small_050", 96, 10),
        ("mobilenetv3_small_100", 160, 1000),
        ("mobilenetv3_large_075", 128, 10),
        ("mobilenetv3_large_100", 224, 2),
        ("mobilenetv2_035", 96, 10),
        ("mobilenetv2_050", 224, 10),
        ("mobilenetv2_100", 160, 1000),
        ("mobilenetv1_100", 128, 10),
        ("mobilenetv1_100", 224, 2),
        ("mobilenetv4_conv_small", 96, 2),
        ("mobilenetv4_conv_small", 224, 1000),
        ("tf_efficientnet_lite0", 128, 1000),
        ("tf_efficientnet_lite0", 224, 10),
        ("efficientnet_b0", 112, 10),
        ("mnasnet_small", 192, 10),
        ("resnet10t", 112, 10),
        ("resnet10t", 224, 2),
    )
)


class ProbeMetadata(Metadata):
    """Of a probe's files, by precision."""

    forms: dict[str, InputForm]
    workloads: dict[str, Workload]


class MakeProbe(Action):
    """Compile a probe for one runtime: float32/<file> and int8/<file>."""

    def __init__(self, probe: Probe, runtime: Runtime) -> None:
        self.probe = probe
        self.runtime = runtime

    @property
    def key(self) -> str:
        components = {
            "action": type(self).__name__,
            "version": self.version,
            "settings": self.settings(),
            "libraries": library_versions((*self.runtime.libraries, "torch", "timm")),
        }
        return digest_of(components)

    def settings(self) -> Json:
        own = self.probe.model_dump(mode="json")
        return {**own, "runtime": self.runtime.name, "runtime_version": self.runtime.version}

    def run(self, inputs: Inputs, into: Path, context: Context) -> ProbeMetadata:
        import numpy as np
        import torch

        probe, runtime = self.probe, self.runtime
        torch.manual_seed(0)
        model = timm_models.create(probe.arch, probe.classes, image_size=probe.image_size)
        wake(model)
        card = _card(probe, model)
        folders = {name: into / name for name in PRECISIONS}
        for folder in folders.values():
            folder.mkdir()
        source = folders["float32"] / runtime.file
        forms = {"float32": runtime.compile(model, card, folders["float32"], context.progress)}
        shape = (CALIBRATION_IMAGES, *probe.image_size, 3)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        requested = Quantization(
            quantizer=runtime.quantizers[0], calibration=runtime.calibrations[0]
        )
        forms["int8"] = runtime.quantize(
            source, card, images, requested, folders["int8"], context.progress
        )
        works = {name: workload_of(runtime, folders[name] / runtime.file) for name in PRECISIONS}
        return ProbeMetadata(forms=forms, workloads=works)


def _card(probe: Probe, model: Any) -> Card:
    return Card(
        arch=probe.arch,
        classes=tuple(map(str, range(probe.classes))),
        image_size=probe.image_size,
        mean=MID_GREY,
        std=MID_GREY,
        crop_pct=1.0,
        parameters=sum(p.numel() for p in model.parameters()),
        macs=timm_models.count_macs(model, probe.image_size),
    )


def wake(model: Any) -> None:
    """Residual branches that begin at zero, as timm's ResNets do, are cut away by converters."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and not module.weight.any():
            torch.nn.init.ones_(module.weight)


class Made(BaseModel):
    """A probe's file for one runtime in one precision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    probe: Probe
    runtime: str
    precision: str
    files: tuple[Path, ...]
    """The model first, then what must lie beside it."""
    form: InputForm
    workload: Workload


def made(
    probe: Probe, runtime: Runtime, precisions: tuple[str, ...], store: Store, progress: Progress
) -> list[Made]:
    """A probe's files, from the store where it was made before.

    Raises:
        Unsupported, MissingPackage: the runtime cannot make them here.
    """
    artifact = _artifact(MakeProbe(probe, runtime), store, progress)
    names = runtime.files()
    metadata = artifact.described_by(ProbeMetadata)
    return [
        Made(
            probe=probe,
            runtime=runtime.name,
            precision=precision,
            files=tuple(artifact.file(f"{precision}/{name}") for name in names),
            form=metadata.forms[precision],
            workload=metadata.workloads[precision],
        )
        for precision in precisions
    ]


def _artifact(action: MakeProbe, store: Store, progress: Progress) -> Artifact:
    key = action.key
    with store.lock(key):
        found = store.find(key)
        if found:
            return found
        with store.workspace() as folder:
            context = Context(progress=progress, partial=store.partial(key))
            metadata = action.run({}, folder, context)
            return store.commit(key, folder, metadata, (), 0.0)
