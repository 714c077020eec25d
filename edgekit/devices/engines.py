"""The distributions whose library runs a runtime's files on a device."""

from __future__ import annotations

from edgekit.runtimes import find_runtimes

ENGINES = {name: tuple(plugin.engine_modules) for name, plugin in find_runtimes().items()}
"""Of a runtime, the distributions that give it; the latter where there is no former."""
DISTRIBUTIONS = ("numpy", *(name for names in ENGINES.values() for name in names))
"""Those whose versions a device is asked for."""
MODULES = {"numpy": "numpy"} | {
    distribution: module
    for plugin in find_runtimes().values()
    for distribution, module in plugin.engine_modules.items()
}
"""By distribution the module that is imported of it."""
DEFAULT_RUNTIMES = tuple(name for name, plugin in find_runtimes().items() if plugin.set_up_unasked)
"""What a device is set up with where none is named."""


def option_for(module: str) -> str:
    """The option of `device setup` that installs a module; empty where it is installed unasked."""
    for name, plugin in find_runtimes().items():
        packages = {path.split(".")[0] for path in plugin.engine_modules.values()}
        if module in packages and not plugin.set_up_unasked:
            return f" --runtime {name}"
    return ""


def library_of(versions: dict[str, str], runtime: str, module: str | None = None) -> str | None:
    """What runs a runtime's files on a device, distribution and version; None if nothing does.

    Args:
        versions: of distributions on the device.
        module: which ran TFLite files, where that is known.
    """
    names = list(ENGINES[runtime])
    if module == "tflite_runtime":  # of two, the one that ran
        names.reverse()
    return next((f"{name} {versions[name]}" for name in names if name in versions), None)
