"""Configurations of plain int8 in the order of their cost, until one holds what is requested.

Ranges come first, since trying one costs a single file; then the bias, whose correction costs one
pass over the images; then channels, and last the rounding of every weight. Each step goes on from
the best configuration so far. The images that judge are a held-back part of the training side: the
split that validates chooses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from edgekit.errors import InputError, Unsupported
from edgekit.quantization import ranges
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.compiled_metadata import Correction, Search, TrialResult, Tried
from edgekit.runtimes.contract.settings import CalibrationMethod, Precision, Quantization

RANGES: tuple[tuple[CalibrationMethod, float], ...] = (
    ("mse", 100),
    ("percentile", 99.99),
    ("percentile", 99.999),
    ("minmax", 100),
    ("moving_average", 100),
)
"""The one that holds most often first, then what holds where it does not (decision 13). Entropy is
left to those who ask for it: it cuts off what ReLU6 networks need."""
OF_256_CODES = ("mse", "entropy")
"""Weigh what is cut off against a step of eight bits."""
ORDER: tuple[Correction, ...] = ("equalise", "smooth", "adaround", "bias")
"""In which corrections are applied, and named: channels are scaled before their weights are
rounded, and the biases take up what rounding leaves."""


def takes_ranges(runtime: Runtime, quantizer: str) -> bool:
    """A runtime's second quantiser finds ranges and biases itself."""
    return quantizer == runtime.quantizers[0]


def ranges_for(runtime: Runtime, quantizer: str) -> list[tuple[CalibrationMethod, float]]:
    """Those of `RANGES` that it offers, with their percentiles; the first is tried first."""
    own = takes_ranges(runtime, quantizer)
    return [pair for pair in RANGES if own or pair[0] in runtime.calibrations]


def offers_wide(runtime: Runtime, quantizer: str) -> bool:
    """Whether a quantiser makes int16x8 for the runtime: none but its own does."""
    return "int16x8" in runtime.precisions and takes_ranges(runtime, quantizer)


def refuse_precision(precision: Precision, maker: Runtime, runs_on: str, quantizer: str) -> None:
    """
    Args:
        maker: the runtime that makes the file.
        runs_on: the one that runs it, which may take it over.

    Raises:
        InputError: one of them or the quantiser does not offer the precision.
    """
    for runtime in (maker, find_runtimes()[runs_on]):
        if precision not in runtime.precisions:
            raise InputError(
                f"quantize.precision: {runtime.name} does not offer {precision}",
                hint=f"it offers {', '.join(runtime.precisions)}",
            )
    if precision == "int16x8" and not offers_wide(maker, quantizer):
        raise InputError(
            f"quantize.precision: {maker.name} does not offer int16x8 by {quantizer}",
            hint=f"{maker.quantizers[0]} makes it",
        )


def calibration_for(
    runtime: Runtime,
    quantizer: str,
    requested: CalibrationMethod | dict[str, CalibrationMethod] | None,
    precision: Precision = "int8",
) -> CalibrationMethod:
    """What a recipe's `calibration` is on one runtime.

    Raises:
        InputError: the runtime does not offer it, or it looks for the ends of 256 codes.
    """
    offered = [*runtime.calibrations]
    if takes_ranges(runtime, quantizer):
        offered += [name for name in ranges.METHODS if name not in offered]
    if isinstance(requested, dict):
        requested = requested.get(runtime.name)
    if requested is None:
        return runtime.calibrations[0]
    if precision == "int16x8":
        offered = [name for name in offered if name not in OF_256_CODES]
    if requested not in offered:
        raise InputError(
            f"quantize.calibration: {runtime.name} does not offer {requested} for {precision}",
            hint=f"it offers {', '.join(offered)}; a mapping such as "
            f"{{{runtime.name}: {offered[0]}}} sets each runtime's own",
        )
    return requested


def search(
    trials: QuantizationTrials,
    quantization: Quantization,
    asked: StopCriterion,
    corrections: tuple[Correction, ...] | None = None,
) -> tuple[QuantizationConfig, Search]:
    """The best configuration found; the first that holds `asked`, or else the clearest.

    Args:
        quantization: what holds for every configuration: precision, quantiser, per-channel
            weights, float operators.
        asked: what the judged images must show.
        corrections: of every configuration, so that ranges alone are searched. Float operators are
            of one float file, and corrections make another, in which they may have other names.

    Raises:
        Unsupported: no configuration runs at all; why the first one does not.
    """
    begun = _Search(trials, quantization, corrections)
    best, ended = None, f"every configuration was tried, and none holds {asked}"
    for config in begun.candidates():
        trials.purpose = begun.purpose(config, asked)
        trial = trials.try_out(config)
        begun.tried.append((config, trial))
        if asked.holds(trial):
            best, ended = config, f"{trial}; {asked} were asked"
            break
    best = best or begun.best
    if best is None:
        raise Unsupported(
            f"{trials.runtime.name}: no configuration of int8 gives scores: "
            f"{begun.tried[0][1].failure}",
            hint="give float operators more room (quantize.max_float_macs), or choose another "
            "runtime or architecture",
        )
    rows = tuple(Tried(way=c.label, trial=t, chosen=c == best) for c, t in begun.tried)
    return best, Search(tried=rows, stop_at=asked.agreement, max_drop=asked.max_drop, ended=ended)


@dataclass
class _Search:
    trials: QuantizationTrials
    quantization: Quantization
    fixed: tuple[Correction, ...] | None
    """Corrections of every configuration; None to search them."""
    tried: list[tuple[QuantizationConfig, TrialResult]] = field(default_factory=list)

    @property
    def best(self) -> QuantizationConfig | None:
        """By the noise in the scores: of a few hundred images it tells more than how many agree."""
        running = [(t.sqnr_db, config) for config, t in self.tried if t.sqnr_db is not None]
        return max(running, key=lambda pair: pair[0])[1] if running else None

    def purpose(self, config: QuantizationConfig, asked: StopCriterion) -> str:
        """What a configuration is tried for, as it is told while it runs."""
        if not self.tried:
            return f"trying {config.label} first"
        nearest = max((trial for _, trial in self.tried), key=lambda trial: trial.agreement or 0)
        return f"trying {config.label}, as so far {nearest}; {asked} were asked"

    def candidates(self) -> Iterator[QuantizationConfig]:
        """Each next configuration, from what came of those before."""
        yield from self._ranges()
        if self.fixed is None:
            yield from self._corrections()

    def _ranges(self) -> Iterator[QuantizationConfig]:
        """Of ranges that were trained the first that runs: the others give nearly the same file."""
        runtime, quantizer = self.trials.runtime, self.quantization.quantizer
        trained = takes_ranges(runtime, quantizer) and bool(self.trials.trained_ranges)
        for method, percentile in ranges_for(runtime, quantizer):
            if trained and self.best is not None:
                return
            update = {"calibration": method, "percentile": percentile}
            yield QuantizationConfig(
                quantization=self.quantization.model_copy(update=update),
                corrections=self.fixed or (),
            )

    def _corrections(self) -> Iterator[QuantizationConfig]:
        """The best so far with one correction more, the cheapest first."""
        own = takes_ranges(self.trials.runtime, self.quantization.quantizer)
        steps: list[Correction] = ["bias"] if own else []
        steps += ["equalise", "smooth"]
        steps += ["adaround"] if self.quantization.per_channel else []  # a step a channel
        for correction in (name for name in steps if name in self.trials.corrections):
            best = self.best
            if best is not None:
                together = {*best.corrections, correction}
                ordered = tuple(name for name in ORDER if name in together)
                yield best.model_copy(update={"corrections": ordered})
