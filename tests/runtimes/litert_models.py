"""Small networks for LiteRT that have learnt something: random ones say nothing of int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.agent.agent import open_litert
from edgekit.models.card import Card
from edgekit.models.timm_models import create
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.runtimes.contract.settings import Quantization
from edgekit.runtimes.litert import LiteRT

RUNTIME = LiteRT()
SIZE = 96
LABELS = ("disc", "upright", "level", "square")
HALF = (0.5, 0.5, 0.5)


def card(arch: str, size: int = SIZE, labels: tuple[str, ...] = LABELS) -> Card:
    sizes = {"image_size": size, "crop_pct": 1.0, "parameters": 0, "macs": 0}
    return Card(arch=arch, classes=labels, mean=HALF, std=HALF, **sizes)


def shapes(count: int, seed: int, size: int = SIZE) -> tuple[Any, Any]:
    """uint8 images of one bright figure on noise, and which of the four it is."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    images, classes = [], np.arange(count) % len(LABELS)
    for kind in classes:
        pixels = rng.normal(60, 12, (size, size, 3))
        (cy, cx), r = rng.integers(size // 4, size - size // 4, 2), rng.integers(10, 20)
        figure = (
            (y - cy) ** 2 + (x - cx) ** 2 < r**2,
            abs(x - cx) < r // 3,
            abs(y - cy) < r // 3,
            (abs(y - cy) < r) & (abs(x - cx) < r),
        )[kind]
        pixels[figure] += rng.integers(60, 140, 3)
        images.append(np.clip(pixels, 0, 255).astype(np.uint8))
    return np.stack(images), classes


def trained(arch: str, epochs: int = 6) -> Any:
    """A timm network that tells the four figures apart, more or less; about 15 seconds."""
    import torch

    torch.manual_seed(0)
    model, (images, classes) = create(arch, len(LABELS)), shapes(384, seed=0)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    steps = epochs * (len(images) // 32)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    model.train()
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(pixels)), 32):
            optimizer.zero_grad()
            wanted = torch.from_numpy(classes)[chosen]
            loss = torch.nn.functional.cross_entropy(model(pixels[chosen]), wanted)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def compiled(model: Any, its_card: Card, into: Path) -> Path:
    into.mkdir()
    RUNTIME.compile(model, its_card, into, lambda *_: None)
    return into / RUNTIME.file


def quantized(source: Path, its_card: Card, images: Any, into: Path, **asked: Any) -> InputForm:
    into.mkdir()
    settings = Quantization(quantizer="ai-edge-quantizer", **asked)
    return RUNTIME.quantize(source, its_card, images, settings, into, lambda *_: None)


def scores(path: Path, form: InputForm, images: Any) -> Any:
    """What the agent makes of a file, on the device as here: float32 (images, classes)."""
    run = open_litert(str(path), 1, True)
    return np.concatenate([run(form.prepare(images[i : i + 1])) for i in range(len(images))])
