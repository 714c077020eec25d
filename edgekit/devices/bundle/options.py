"""What the command line says of a bundle beside the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.devices.bundle.protocol import Protocol

DEFAULT_PROTOCOL = Protocol()


@dataclass(frozen=True)
class BundleOptions:
    """What the command line says beside the file."""

    protocol: Protocol = DEFAULT_PROTOCOL
    threads: int | None = None
    """Instead of the target's; 1 where there is no target: 2 and 4 are measured beside it."""
    images: Path | None = None
    """A folder of images, for a file from elsewhere."""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    labels: Path | None = None
    """A file of class names in the order of its scores."""
