"""The int8 roofline of this machine, measured with a runtime's own kernels.

After Williams, Waterman and Patterson (see `devices/estimate/roofline.py`, which has those of
boards from data sheets). The peak is that of the best of a few dense convolutions whose data lie in
the cache; the bandwidth that of a linear layer, which reads each weight for one product.
"""

from __future__ import annotations

from pydantic import ValidationError

from edgekit.engine.action import library_versions
from edgekit.engine.artifact import digest_of
from edgekit.engine.atomic import write_atomically
from edgekit.engine.store import Store
from edgekit.errors import STORE_VARIABLE, storage_errors
from edgekit.evaluation.layer_timing import time_layers
from edgekit.evaluation.measure import HERE, repeated
from edgekit.evaluation.operator_table import Roofline
from edgekit.evaluation.timing import Timing
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.microbenchmark import Layer

DENSE = (
    Layer(kind="conv", kernel=1, height=16, width=16, cin=512, cout=512),
    Layer(kind="conv", kernel=3, height=16, width=16, cin=256, cout=256),
)
LINEAR = (
    Layer(kind="conv", kernel=1, height=1, width=1, cin=1024, cout=1024),
    Layer(kind="conv", kernel=1, height=1, width=1, cin=2048, cout=4096),
)
"""Of 1 and of 8 MiB of weights: whichever is read faster counts, so that the limit stays one."""
PROBES = (*DENSE, *LINEAR)


def host_roofline(runtime: Runtime, store: Store) -> Roofline | None:
    """Measure it, or take what was measured before with this machine and library; None where the
    machine is too busy, or the kernels were no faster than feeding them.

    Raises:
        EdgekitError: the runtime cannot make or run the layers.
    """
    library = f"{runtime.engine} {library_versions((runtime.engine,))[runtime.engine]}"
    probes = [layer.model_dump() for layer in PROBES]
    key = digest_of([runtime.name, library, probes, HERE.identity()])[:32]
    path = store.root / "rooflines" / f"{key}.json"
    try:
        return Roofline.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        pass
    probed = [*PROBES, *map(_frame, PROBES)]
    timings = repeated(lambda: time_layers(probed, runtime, True, HERE, _quiet)[0], _is_disturbed)
    if _is_disturbed(timings):
        return None
    found = _roofline(timings, library)
    if found:
        with storage_errors(store.root, STORE_VARIABLE):
            write_atomically(path, found.model_dump_json())
    return found


def _is_disturbed(timings: dict[Layer, Timing]) -> bool:
    # What takes microseconds finds a cold cache first in each round, disturbed or not.
    return any(timings[layer].disturbed for layer in DENSE)


def _roofline(timings: dict[Layer, Timing], library: str) -> Roofline | None:
    taken = {one: timings[one].typical - timings[_frame(one)].typical for one in PROBES}
    if min(taken.values()) <= 0:
        return None
    return Roofline(
        macs_per_second=max(layer.macs / taken[layer] for layer in DENSE),
        bytes_per_second=max(layer.weights / taken[layer] for layer in LINEAR),
        method=f"int8 convolutions and linear layers alone in {library}, one thread",
    )


def _quiet(*_: object) -> None:
    pass


def _frame(layer: Layer) -> Layer:
    """What feeding a layer costs."""
    return layer.model_copy(update={"kind": "frame", "kernel": 1, "cout": layer.cin})
