"""A network of a few layers, and the runtimes that can be tried on it, each with its quantisers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.models.card import Card
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.runtimes.contract.settings import Quantization

SIZE = 32
LABELS = ("a", "b", "c")
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(30, 226, (8, 1, 1, 3))
IMAGES = np.clip(COLOURS + RNG.normal(0, 20, (8, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
HALF = (0.5, 0.5, 0.5)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def card(mean: Any = HALF, std: Any = HALF) -> Card:
    sizes = {"image_size": SIZE, "crop_pct": 1.0, "parameters": 0, "macs": 0}
    return Card(arch="tiny", classes=LABELS, mean=mean, std=std, **sizes)


def network() -> Any:
    """Convolutions, a residual addition, hard-swish and a linear layer, on NCHW images."""
    import torch

    class Tiny(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
            self.relu = torch.nn.ReLU()
            self.second = torch.nn.Conv2d(8, 8, 3, padding=1)
            self.swish = torch.nn.Hardswish()
            self.head = torch.nn.Linear(8, len(LABELS))

        def forward(self, image: Any) -> Any:
            early = self.relu(self.first(image))
            late = self.swish(early + self.second(early))
            return self.head(late.mean((2, 3)))

    torch.manual_seed(0)
    return Tiny().eval()


@dataclass
class Made:
    """What one runtime made of a network: `float`, one file for each quantiser, and baked ones."""

    runtime: Runtime
    folder: Path
    card: Card
    forms: dict[str, InputForm] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        return self.folder / name / self.runtime.file

    def compile(self, model: Any) -> None:
        form = self.runtime.compile(model, self.card, self._into("float"), _silent)
        self.forms["float"] = form

    def quantize(self, name: str, images: Any = IMAGES, **asked: Any) -> None:
        settings = Quantization(**{"quantizer": self.runtime.quantizers[0], **asked})
        into, source = self._into(name), self.path("float")
        self.forms[name] = self.runtime.quantize(source, self.card, images, settings, into, _silent)

    def bake(self, name: str) -> None:
        into, source = self._into(f"{name}-baked"), self.path(name)
        self.runtime.bake(source, self.card, self.forms[name], LABELS, into)
        raw = {"dtype": "uint8"}
        self.forms[f"{name}-baked"] = self.forms[name].model_copy(update=raw)

    def tensors(self, name: str, images: Any = IMAGES) -> list[dict[str, Any]]:
        return list(self.runtime.tensors(self.path(name), self.forms[name], images))

    def _into(self, name: str) -> Path:
        (self.folder / name).mkdir(parents=True)
        return self.folder / name


def made(runtime: str, folder: Path, model: Any, its_card: Card) -> Made:
    result = Made(find_runtimes()[runtime](), folder, its_card)
    result.compile(model)
    return result


def _silent(*_: Any) -> None:
    pass
