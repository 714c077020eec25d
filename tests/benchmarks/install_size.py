"""What the extras of edgekit weigh: python -m tests.benchmarks.install_size

Sums the files of the distributions that an extra brings, as they lie in this Python's environment.
Run it where all of them are installed (`make venv`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
CUDA = ("nvidia-", "cuda-", "triton")
"""How the distributions begin that torch brings for Nvidia's GPUs, which edgekit does not use."""


def closure(requirements: Iterable[str], extra: str = "") -> set[str]:
    """The distributions that requirements bring, with all that these need."""
    found: set[str] = set()
    waiting = [(Requirement(line), extra) for line in requirements]
    seen = set()
    while waiting:
        requirement, of = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": of}):
            continue
        for wanted in {"", *requirement.extras}:
            if (requirement.name, wanted) in seen:
                continue
            seen.add((requirement.name, wanted))
            waiting += [(each, wanted) for each in _requires(requirement.name, wanted)]
        if requirement.name != PROJECT["name"]:
            found.add(requirement.name.lower().replace("_", "-"))
    return found


def _requires(name: str, extra: str) -> list[Requirement]:
    if name == PROJECT["name"]:
        extras = PROJECT["optional-dependencies"]
        lines = extras[extra] if extra else PROJECT["dependencies"]
    else:
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            raise SystemExit(f"{name} is not installed: make venv") from None
    return [Requirement(line) for line in lines]


def size_of(name: str) -> int:
    """Bytes of a distribution's files on this disk."""
    files = metadata.files(name) or []
    paths = {Path(str(file.locate())) for file in files}
    return sum(path.stat().st_size for path in paths if path.is_file())


def main() -> None:
    core = closure([PROJECT["name"]])
    print(f"{'extra':12} {'MB':>6} {'of it CUDA':>11}")
    for extra in ("", *PROJECT["optional-dependencies"]):
        names = closure([f"{PROJECT['name']}[{extra}]"]) if extra else core
        sizes = {name: size_of(name) for name in names}
        cuda = sum(size for name, size in sizes.items() if name.startswith(CUDA))
        print(f"{extra or '(none)':12} {sum(sizes.values()) / 1e6:6.0f} {cuda / 1e6:11.0f}")


if __name__ == "__main__":
    main()
