"""What came of a deployment on one device."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from edgekit.errors import DeviceError, EdgekitError, Fault


class DeployState(StrEnum):
    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    WOULD_DEPLOY = "would deploy"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"
    SKIPPED = "skipped"


class DeployRecord(BaseModel):
    """What came of one device, to be kept and read by a program."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    state: DeployState
    release: str
    seconds: float
    sent_bytes: int
    golden_max_abs_diff: float | None
    note: str | None
    """What went wrong after all was done, and does no harm."""
    error: str | None
    hint: str | None
    fault: Fault | None
    exit_code: int
    """Of a command with this device alone; 0 where it did not fail."""


@dataclass(frozen=True)
class DeployResult:
    """What came of one device."""

    device: str
    state: DeployState
    release: str
    seconds: float = 0.0
    sent_bytes: int = 0
    golden_max_abs_diff: float | None = None
    error: EdgekitError | None = None
    note: str | None = None
    """What went wrong after all was done, and does no harm."""

    def as_record(self) -> DeployRecord:
        return DeployRecord(
            device=self.device,
            state=self.state,
            release=self.release,
            seconds=round(self.seconds, 3),
            sent_bytes=self.sent_bytes,
            golden_max_abs_diff=self.golden_max_abs_diff,
            note=self.note,
            error=self.error.message if self.error else None,
            hint=self.error.hint if self.error else None,
            fault=self.error.fault if isinstance(self.error, DeviceError) else None,
            exit_code=self.error.exit_code if self.error else 0,
        )
