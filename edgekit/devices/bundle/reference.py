"""What a device's results are held to, and the setting in which they were made."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgekit.devices.bundle.protocol import Protocol
from edgekit.evaluation.predictions import JudgedImages
from edgekit.evidence import Evidence

MODEL, FLOAT = "model", "float"
"""How a job calls the model that is measured and the float one beside it."""
BY_STICK = "by way of run.sh"
"""The address of a device that was not reached itself."""


@dataclass(frozen=True)
class Reference:
    """What the device's scores are held against: labels, and the host's scores of the same file."""

    labels: NDArray[np.int64] | None
    """(images,); None for a file of which no labelled images are known."""
    host: NDArray[np.float32]
    """(images, classes)."""
    classes: tuple[str, ...]
    images: JudgedImages | None = None
    """Those that the labels are of, known by their pixels; None where two have the same."""


@dataclass(frozen=True)
class Setting:
    """What was asked of the device, and of which."""

    device: str
    address: str
    evidence: Evidence
    """What the transport says; the agent may know that it is emulated all the same."""
    runtime: str
    threads: int
    protocol: Protocol
    input_source: str
    input_sha256: str
    cpu: str | None = None
    """The target's; None where no target was named."""
    absent: dict[str, str] = field(default_factory=dict)
    """Why something was not asked for, by its path in the report."""
