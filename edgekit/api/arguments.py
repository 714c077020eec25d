"""What the arguments of several functions stand for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.devices.limits import MOST_SUSTAINED, MOST_THREADS
from edgekit.errors import STORE, STORE_VARIABLE, InputError, make_folder

if TYPE_CHECKING:
    from edgekit.devices.bundle.bundle import Bundle
    from edgekit.devices.bundle.options import BundleOptions
    from edgekit.engine.observer import Observer
    from edgekit.engine.store import Store
    from edgekit.transports.base import Transport

PathLike = str | os.PathLike[str]
Triple = tuple[float, float, float]


def need_whole(name: str, value: int | None, most: int | None = None) -> None:
    """
    Args:
        value: None where nothing is asked for.

    Raises:
        InputError: it is no whole number from 1 to `most`.
    """
    if value is None:
        return
    if type(value) is not int or value < 1 or (most and value > most):
        limits = f"from 1 to {most}" if most else "from 1"
        raise InputError(f"{name}: a whole number {limits} expected, not {value!r}")


def names_of(value: PathLike | Sequence[PathLike]) -> list[str]:
    """One name, or several."""
    several = [value] if isinstance(value, str | os.PathLike) else value
    return [os.fspath(one) for one in several]


def path_of(value: PathLike | None) -> Path | None:
    return None if value is None else Path(value)


def store_of(store: PathLike | None) -> Store:
    """
    Raises:
        StorageError: there is no such folder, and none can be made.
    """
    from edgekit.engine.store import Store, default_store

    root = Path(store) if store else default_store()
    make_folder(root, STORE if store else STORE_VARIABLE)
    return Store(root)


def transports_of(names: Sequence[str], groups: Sequence[str] = ()) -> dict[str, Transport]:
    """
    Args:
        names, groups: a device of both counts once.

    Raises:
        InputError: a device is not in the inventory, or named twice; a group has none; there is
            nothing of either.
    """
    from edgekit.devices.inventory import find_device, find_group

    if len(set(names)) < len(names):
        raise InputError("--device: a device is named twice")
    every = dict.fromkeys([*names, *(name for group in groups for name in find_group(group))])
    if not every:
        raise InputError(
            "no device is named",
            hint="--device NAME, or --group NAME for all of a group; edgekit device list has them",
        )
    return {name: find_device(name) for name in every}


def runtimes_of(names: Sequence[str]) -> tuple[str, ...]:
    """Each of them once.

    Raises:
        InputError: there is no such runtime.
    """
    from edgekit.runtimes import find_runtimes
    from edgekit.spec.yamlfile import suggestion

    for name in names:
        if name not in find_runtimes():
            raise InputError(
                f"--runtime: no runtime {name!r}; {suggestion(name, list(find_runtimes()))}"
            )
    return tuple(dict.fromkeys(names))


def remark_unprevented(observer: Observer) -> None:
    """What this machine cannot keep a model file from; nothing where it can."""
    from edgekit.engine.confinement import unprevented

    if words := unprevented():
        observer.remark(words)


def remark_untrained(bundle: Bundle, observer: Observer) -> None:
    """A word on a model whose build was untrained; a file from elsewhere has no manifest."""
    from edgekit.build_folder.reading import read_manifest

    with suppress(InputError):  # another version's: the model is used all the same
        manifest = read_manifest(bundle.folder)
        if getattr(manifest, "verdict", None) == "untrained":
            observer.remark(
                f"{bundle.info.subject.file} is untrained: its float model was no better than "
                "always naming the commonest class"
            )


def bundle_options(
    images: PathLike | None = None,
    mean: Triple | None = None,
    std: Triple | None = None,
    labels: PathLike | None = None,
    threads: int | None = None,
    strict: bool = False,
    sustained: float = 0.0,
) -> BundleOptions:
    """
    Raises:
        InputError: no such number of threads, or no such time.
    """
    from edgekit.devices.bundle.options import BundleOptions
    from edgekit.devices.bundle.protocol import STRICT, Protocol

    need_whole("threads", threads, MOST_THREADS)
    if not 0 <= sustained <= MOST_SUSTAINED:
        raise InputError(
            f"sustained: 0 to {MOST_SUSTAINED:,} seconds expected, not {sustained!r}",
            hint="the device is held for six hours at most",
        )
    protocol = (STRICT if strict else Protocol()).model_copy(
        update={"sustained_seconds": sustained}
    )
    return BundleOptions(protocol, threads, path_of(images), mean, std, path_of(labels))
