"""What a build's report says of latencies on the target's core, where no device timed them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from edgekit.cycle_model.file_estimate import CycleEstimate
from edgekit.evidence import Measurement, interval


class VariantEstimate(BaseModel):
    """Of what shipped of one variant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    counted: CycleEstimate
    ratio: Measurement | None
    """To the float model on the same runtime; None where that was not built or not counted."""
    calibrated: dict[str, Measurement] = {}
    """By device of that core that was calibrated: milliseconds with its scale."""

    def __str__(self) -> str:
        latency, ratio = self.counted.latency, self.ratio
        told = f"{latency.value:.3g} ms ({latency.low:.3g} to {latency.high:.3g})"
        parts = [told, f"{interval(ratio, 2)} times float's" if ratio else ""]
        parts += [
            f"{one.value:.3g} ms ({one.low:.3g} to {one.high:.3g}) as {device} was calibrated"
            for device, one in self.calibrated.items()
        ]
        return ", ".join(filter(None, parts))

    def disagrees(self, host: Measurement | None) -> bool:
        """Whether the host's ratio and this one cannot both be right: their intervals are apart."""
        if self.ratio is None or host is None:
            return False
        low, high = _ends(self.ratio)
        host_low, host_high = _ends(host)
        return host_high < low or high < host_low


def _ends(figure: Measurement) -> tuple[float, float]:
    low = figure.value if figure.low is None else figure.low
    return low, figure.value if figure.high is None else figure.high


class TargetEstimates(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    core: str
    board: str
    variants: dict[str, VariantEstimate] = {}
    missing: dict[str, str] = {}
    """Why a variant has none; of all of them under an empty name."""
    advice: str = ""
    """What would give one."""
    disagreements: list[str] = []
    """Where the host's ratios and these are apart."""

    @property
    def lines(self) -> list[str]:
        """All of it for a person to read."""
        where = f"Estimated for a {self.board} with one thread"
        found = [f"{where}: {name}: {one}" for name, one in self.variants.items()]
        for name, one in self.variants.items():
            if shares := one.counted.operators:
                found.append(f"Of {name}'s estimate: {shares}")
            elif reason := one.counted.no_operators:
                found.append(f"Which operators take {name}'s estimate is not known: {reason}")
        for name, reason in self.missing.items():
            advice = f" ({self.advice})" if self.advice else ""
            of = f" of {name}" if name else ""
            found.append(f"No estimate{of} for a {self.board}: {reason}{advice}")
        apart = "The host and the estimate disagree, and no board was asked: "
        return found + [apart + line for line in self.disagreements]
