"""`method: auto`: ways to quantise in the order of their cost, until one holds what is asked.

Ranges come first, since trying one costs a single file; then the bias, whose correction costs one
pass over the images; then channels, and last the rounding of every weight. Each step goes on from
the best way so far. The images that judge are a held-back part of the training side: the split
that validates chooses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.errors import Unsupported
from edgekit.model_metadata import Correction, Search, TrialResult, Tried
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes.contract.settings import CalibrationMethod, Quantization

RANGES: tuple[tuple[CalibrationMethod, float], ...] = (
    ("minmax", 100),
    ("mse", 100),
    ("percentile", 99.999),
    ("percentile", 99.99),
    ("moving_average", 100),
)
"""Entropy is left to those who ask for it: it cuts off what ReLU6 networks need."""


def search(
    workshop: QuantizationTrials,
    asked: Quantization,
    stop_at: float | None,
    corrections: tuple[Correction, ...] | None = None,
) -> tuple[QuantizationConfig, Search]:
    """The best way found; the first that reaches `stop_at`, if that is given.

    Args:
        asked: what holds for every way: precision, quantiser, per-channel weights, float operators.
        stop_at: percent of the judged images on which int8 must name the float model's class.
        corrections: of every way, so that ranges alone are searched. Float operators are of one
            float file, and corrections make another, in which they may have other names.

    Raises:
        Unsupported: no way runs at all; why the first one does not.
    """
    tried: list[tuple[QuantizationConfig, TrialResult]] = []
    held = None
    ended = "every way was tried"
    for way in _ways(workshop, asked, tried, corrections):
        trial = workshop.try_out(way)
        tried.append((way, trial))
        if stop_at is not None and trial.agreement is not None and trial.agreement >= stop_at:
            held, ended = way, f"{trial.agreement:g} % agree, and {stop_at:g} % were asked"
            break
    best = held or _best(tried)
    if best is None:
        raise Unsupported(
            f"{workshop.runtime.name}: no way to int8 gives scores: {tried[0][1].failure}",
            hint="give float operators more room (quantize.max_float_macs), or choose another "
            "runtime or architecture",
        )
    rows = tuple(Tried(way=w.label, trial=t, chosen=w == best) for w, t in tried)
    return best, Search(tried=rows, stop_at=stop_at, ended=ended)


def _ways(
    workshop: QuantizationTrials,
    asked: Quantization,
    tried: list[tuple[QuantizationConfig, TrialResult]],
    fixed: tuple[Correction, ...] | None,
) -> Iterator[QuantizationConfig]:
    """Each next way, from what came of those before."""
    runtime = workshop.runtime
    own = asked.quantizer == runtime.quantizers[0]  # another one finds ranges and biases itself
    for method, percentile in RANGES:
        if not own and method not in runtime.calibrations:
            continue
        update = {"calibration": method, "percentile": percentile}
        yield QuantizationConfig(
            quantization=asked.model_copy(update=update), corrections=fixed or ()
        )
    if fixed is not None:
        return
    possible = workshop.corrections
    steps: list[Correction] = ["bias"] if own and not runtime.corrects_bias else []
    # AdaRound's grid has a step for each channel.
    order: tuple[Correction, ...] = ("equalise", "smooth", "adaround")
    steps += [name for name in order[: 3 if asked.per_channel else 2] if name in possible]
    for correction in steps:
        best = _best(tried)
        if correction in possible and best is not None:
            together = _ordered({*best.corrections, correction})
            yield best.model_copy(update={"corrections": together})


def _ordered(corrections: set[Correction]) -> tuple[Correction, ...]:
    order: tuple[Correction, ...] = ("equalise", "smooth", "adaround", "bias")
    return tuple(name for name in order if name in corrections)


def _best(tried: list[tuple[QuantizationConfig, TrialResult]]) -> QuantizationConfig | None:
    """By the noise in the scores: of a few hundred images it tells more than how many agree."""
    running = [(trial.sqnr_db, way) for way, trial in tried if trial.sqnr_db is not None]
    return max(running, key=lambda pair: pair[0])[1] if running else None
