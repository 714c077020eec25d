"""edgekit: from a chosen image classifier to a measured int8 model on an edge device.

The commands are functions too: `edgekit.build("photos.yaml", target="rpi")`; see docs/python.md.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = [
    "Observer", "Silent", "bench", "bench_fleet", "build", "bundle", "calibrate", "compare",
    "deploy", "doctor", "estimate", "import_result", "inspect", "matrix", "plan", "read_report",
    "read_search", "rollback", "search", "search_recipe", "sweep", "targets", "verify",
]  # fmt: skip
"""Those of `edgekit.api`. They come when they are asked for (PEP 562): the import costs nothing."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'edgekit' has no attribute {name!r}")
    from edgekit import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
