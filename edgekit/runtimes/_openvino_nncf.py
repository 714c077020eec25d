"""NNCF on an OpenVINO model: where quantisers stand, which is found once for all ranges."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.engine.action import Progress
from edgekit.errors import EdgekitError
from edgekit.runtimes import _openvino_graph as graph
from edgekit.runtimes import _openvino_read as read
from edgekit.runtimes._quiet import quiet, without_nncf_bars
from edgekit.runtimes.contract.input_form import InputForm, batches
from edgekit.runtimes.contract.settings import Quantization

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLACEMENT_IMAGES = 1
"""That NNCF sees where ranges are given, which replace its own."""
KEPT = 4
"""Models with their quantisers in place that are held in memory."""


def with_quantizers(
    source: Path,
    images: NDArray[np.uint8],
    form: InputForm,
    settings: Quantization,
    progress: Progress,
) -> Any:
    """The float model with NNCF's FakeQuantize operators; weights are float before theirs.

    Where the settings bring ranges, NNCF's own are placeholders, and it runs once for all ranges of
    the same model, images and `float_ops`. Where they bring none, as of files that are made to be
    timed, it calibrates itself.

    Raises:
        EdgekitError: NNCF cannot quantise the model.
    """
    seen = images if settings.ranges is None else images[:PLACEMENT_IMAGES]
    digest = hashlib.sha256(seen.tobytes())
    for path in (source, source.with_suffix(".bin")):
        digest.update(path.read_bytes())
    key = (digest.hexdigest(), settings.float_ops, settings.per_channel, form)
    return _placed(_Job(key, source, seen, progress)).clone()


@dataclass(frozen=True)
class _Job:
    """Equal to another of the same `key`, which all else follows from."""

    key: tuple[str, tuple[str, ...], bool, InputForm]
    source: Path = field(compare=False)
    images: NDArray[np.uint8] = field(compare=False)
    progress: Progress = field(compare=False)


@lru_cache(maxsize=KEPT)
def _placed(job: _Job) -> Any:
    nncf, openvino = read.need("nncf", "quantize"), read.need("openvino", "quantize")
    _, float_ops, per_channel, form = job.key

    def feed(numbered: tuple[int, Any]) -> Any:
        number, image = numbered
        job.progress(number, len(job.images), "calibrating")
        return image

    model = read.load(job.source)
    prepared = list(enumerate(batches(job.images, form), start=1))
    presets = nncf.QuantizationPreset
    core = read.core()
    # NNCF makes a core for each model it runs, and they overlap.
    with quiet(), without_nncf_bars(), _one_core(openvino, core):
        try:
            return nncf.quantize(
                model,
                nncf.Dataset(prepared, feed),
                preset=presets.MIXED if graph.is_asymmetric(model) else presets.PERFORMANCE,
                target_device=nncf.TargetDevice.NPU,
                subset_size=len(job.images),
                ignored_scope=nncf.IgnoredScope(names=list(float_ops)),
                advanced_parameters=_advanced(nncf, per_channel),
            )
        except nncf.ValidationError as error:
            raise EdgekitError(
                f"NNCF cannot quantise the model: {error}",
                hint="float_ops are names of operators of the compiled float model",
            ) from error


def _advanced(nncf: Any, per_channel: bool) -> Any:
    """NNCF's overflow fix is off: `put_weights_on_grid` gives weights 7 bits where it matters.

    So is its bias correction, which reckons with NNCF's ranges and not with those that replace
    them: a ResNet18's scores had 19 dB with it, and 36 without. `method: auto` corrects biases by
    `quantization/corrections.py`.
    """
    from nncf.quantization.advanced_parameters import QuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet as Estimators

    return nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=Estimators.MINMAX,
        disable_bias_correction=True,
        activations_quantization_params=QuantizationParameters(per_channel=False),
        weights_quantization_params=QuantizationParameters(per_channel=per_channel),
        overflow_fix=nncf.OverflowFix.DISABLE,
        backend_params={"compress_weights": False},
    )


@contextlib.contextmanager
def _one_core(openvino: Any, core: Any) -> Iterator[None]:
    original = openvino.Core
    openvino.Core = lambda: core
    try:
        yield
    finally:
        openvino.Core = original
