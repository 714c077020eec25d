"""What an inspection found: each tensor, and where the file goes wrong."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SOUND_DB = 20.0
"""Scores with this much signal over noise decide as the float file's do, near ties aside."""
DROP_DB = 6.0
"""What one bit less costs: an operator that loses as much at once is where it goes wrong."""
MIN_SHARE_THROUGH = 0.03
"""Share of the scores' noise that must pass through an operator for its loss to matter."""
EIGHT_BITS_DB = 30.0
"""About what eight bits leave of an activation; above it nothing is lost yet."""
MAJOR_SHARE = 0.5
"""Share of the scores' noise that makes the operator where it arose go wrong, whatever it lost."""

ErrorSource = Literal["codes", "weights", "inputs"]
CAUSES: tuple[ErrorSource, ...] = ("codes", "weights", "inputs")


class TensorReport(BaseModel):
    """One tensor that both files have. Values are of all images, SQNRs medians over images."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True
    )

    name: str
    operator: str
    """What `quantize.float_ops` calls its maker; empty for the image."""
    layer: str
    """The maker for a person to read."""
    kind: str
    """Of its maker in the float file."""
    inputs: tuple[str, ...]
    """Those of these tensors that it is made of; what the compressed file fused away is skipped."""
    sqnr_db: float
    codes_db: float | None
    """What the SQNR would be if nothing but its own codes made noise; None where it is in float."""
    weights_db: float | None
    """What the SQNR would be if nothing but its maker's weights made noise, of inputs that are
    noise themselves; None where there are none, or none to compare."""
    inherited_db: float
    """What the SQNR would be with the noise of its inputs alone, neither amplified nor damped."""
    lost_db: float
    """What was lost here: `inherited_db`, but no more than EIGHT_BITS_DB, less `sqnr_db`."""
    noisiest: str | None
    """The input that brought most of its noise."""
    cause: ErrorSource
    """Where most of what was lost here comes from: its own `codes`, its maker's `weights`, or the
    `inputs`, whose noise its maker passed on or amplified."""
    share_added: float = Field(alias="arose")
    """Share of the scores' noise that arose here, from 0 to 1; they add up to 1."""
    share_through: float = Field(alias="passed")
    """Share of the scores' noise that arose here or before, and came this way."""
    low: float
    high: float
    """Of the float values."""
    code_low: float | None
    code_high: float | None
    """What the codes can stand for."""
    clipped: float | None
    """Share of the float values outside of that."""
    zeroed: float | None
    """Share of the float values that are not zero and whose code stands for zero."""
    clipping: float
    """Share of the codes' noise that clipping makes, from 0 to 1; the rest is rounding."""
    channels: int
    dead: int
    """Channels that live in the float file and are constant in the compressed one."""
    dead_in_float: int
    """Channels that are constant in both."""
    spread: float
    """The range of the widest channel over that of the median one."""
    deviation: float
    """Standard deviation of the float values."""
    bias: float
    """Share of its noise that is a constant shift of each channel, from 0 to 1."""

    @property
    def goes_wrong(self) -> bool:
        """Whether it loses much of what it got, and matters for the scores; or loses them alone.

        What gets more noise than signal cannot go wrong any more.
        """
        drops = (
            self.lost_db >= DROP_DB
            and self.share_through >= MIN_SHARE_THROUGH
            and self.inherited_db > 0
        )
        return bool(self.operator) and (drops or self.share_added >= MAJOR_SHARE)


class Inspection(BaseModel):
    """A compressed file against its float original."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: str
    images: int
    per_channel: bool
    """The compressed file's weights have one scale for each output channel."""
    tensors: tuple[TensorReport, ...]
    """In the order they are made; the image comes first and the scores last."""
    fused: int
    """Tensors of the float file that the compressed one does not have."""

    @property
    def sqnr_db(self) -> float:
        """Of the scores."""
        return self.tensors[-1].sqnr_db

    @property
    def is_sound(self) -> bool:
        return self.sqnr_db >= SOUND_DB

    def origin(self, tensor: TensorReport) -> TensorReport:
        """Where most of a tensor's noise arose: at itself, or at one that it was made of."""
        by_name = {each.name: each for each in self.tensors}
        if tensor.cause != "inputs":
            return tensor
        before, waiting = {tensor.name}, [tensor]
        while waiting:
            fresh = {name for name in waiting.pop().inputs if name not in before}
            before |= fresh
            waiting += [by_name[name] for name in fresh]
        return max((by_name[name] for name in sorted(before)), key=lambda each: each.share_added)

    @property
    def wrong(self) -> tuple[TensorReport, ...]:
        """Where it goes wrong, the first place first; empty where the scores are sound.

        Every operator that loses DROP_DB or more at once while MIN_SHARE_THROUGH of the scores'
        noise came through it, or at which MAJOR_SHARE of that noise arose; else, where the loss is
        spread over many, the place at which most of it arose.
        """
        if self.is_sound:
            return ()
        found = tuple(tensor for tensor in self.tensors if tensor.goes_wrong)
        return found or (max(self.tensors, key=lambda tensor: tensor.share_added),)
