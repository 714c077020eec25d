"""Whether a float file computes what the model computes that it was converted from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit import stats
from edgekit.errors import NotAsAsked

FLOAT_SQNR_DB = 40.0
HALF_SQNR_DB = 25.0
"""Of a device that computes in float16."""


def hold_to_source(
    runtime: str, reference: NDArray[np.float32], scores: NDArray[np.float32], least: float
) -> None:
    """A float file must compute what its source computes: the same channel order, input range and
    class order. Converters keep 100 dB; a mistake in any of these leaves next to nothing.

    Raises:
        NotAsAsked: it does not.
    """
    sqnr = stats.sqnr_db(reference, scores)
    if sqnr < least:
        same = np.mean(reference.argmax(axis=1) == scores.argmax(axis=1))
        raise NotAsAsked(
            f"the float model compiled for {runtime} is not the source any more: its scores are "
            f"{sqnr:.1f} dB from the source's (at least {least:g} expected), "
            f"{100 * same:.1f} % agree",
            hint="the conversion changed the channel order, the input range, the class order or an "
            "operator; the source's own scores are the reference",
        )
