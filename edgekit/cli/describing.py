"""What there is to write in a recipe and to build for, and what this machine has for it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli._options import FILE, debug_option, json_option, store_option
from edgekit.cli._output import say, say_json
from edgekit.cli._schemas import NAMES, schema_of
from edgekit.cli.completing import complete_recipes
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.setup.doctor import Diagnosis, InstalledLibrary
    from edgekit.setup.host import HostFacts
    from edgekit.setup.target_needs import TargetNeeds
    from edgekit.spec.stage_keys import Key


@click.command()
@click.argument("what", metavar="NAME", type=click.Choice(NAMES))
@debug_option
def schema(what: str) -> None:
    """Print the JSON Schema of what commands read and print.

    \b
        edgekit schema recipe > recipe.schema.json
        edgekit schema compare

    A recipe or a target, report.json, or what a command prints with --json.
    """
    say_json(schema_of(what))


@click.command()
@click.argument("words", metavar="WORD...", nargs=-1, required=True)
@json_option
@debug_option
def explain(words: tuple[str, ...], as_json: bool) -> None:
    """Say what a stage, gate, target, verdict or term is.

    \b
        edgekit explain max_accuracy_drop
        edgekit explain cannot tell
    """
    from edgekit.setup.explain import explain as run

    found = run(" ".join(words))
    if as_json:
        say_json([one.model_dump(mode="json") for one in found])
        return
    for one in found:
        say(f"{one.word} ({one.kind}): {one.text}" + (f" More: {one.more}" if one.more else ""))


@click.command()
@json_option
@debug_option
def targets(as_json: bool) -> None:
    """List what can be built for, and what each still needs.

    \b
        edgekit targets
    """
    from edgekit.api import targets as run

    found = run()
    if as_json:
        say_json([target.model_dump(mode="json") for target in found])
        return
    for target in found:
        for line in _target_lines(target):
            say(line)


def _target_lines(target: TargetNeeds) -> Iterator[str]:
    yield f"{target.name}: {target.description} ({target.device})"
    required = ", ".join(v.name for v in target.variants if v.must_pass)
    others = ", ".join(v.name for v in target.variants if not (v.must_pass or v.missing))
    yield f"  must pass {required}" + (f"; tries {others}" if others else "")
    yield from _left_out(target)
    yield f"  needs {target.install}" if target.install else "  ready"


def _left_out(target: TargetNeeds) -> Iterator[str]:
    lost = [v for v in target.variants if v.missing and not v.must_pass]
    if lost:
        lacking = sorted({name for variant in lost for name in variant.missing})
        names = ", ".join(variant.name for variant in lost)
        yield f"  leaves out {names}: {', '.join(lacking)} not installed"


@click.command()
@click.argument("names", metavar="[STAGE]...", nargs=-1)
@json_option
@debug_option
def stages(names: tuple[str, ...], as_json: bool) -> None:
    """Show what a recipe's stages can say, key by key.

    \b
        edgekit stages quantize
    """
    from edgekit.spec.stage_keys import stage_keys
    from edgekit.spec.yamlfile import suggestion

    known = stage_keys()
    for name in names:
        if name not in known:
            raise InputError(f"no stage {name!r}; {suggestion(name, list(known))}")
    chosen = {name: known[name] for name in names or known}
    if as_json:
        say_json({name: stage.model_dump(mode="json") for name, stage in chosen.items()})
        return
    for name, stage in chosen.items():
        say(f"{name}: {stage.summary}")
        for line in _key_lines(stage.keys, 2):
            say(line)
        say("")


def _key_lines(keys: dict[str, Key], indent: int) -> Iterator[str]:
    for name, key in keys.items():
        shown = key.keys is None and key.default is not None
        default = ", required" if key.required else f", default {json.dumps(key.default)}" * shown
        yield f"{' ' * indent}{name}: {key.type}{default}"
        margin = " " * (indent + 4)
        yield textwrap.fill(key.description, 100, initial_indent=margin, subsequent_indent=margin)
        yield from _key_lines(key.keys or {}, indent + 4)


@click.command()
@click.argument("recipe", type=FILE, required=False, shell_complete=complete_recipes)
@store_option
@json_option
@debug_option
def doctor(recipe: Path | None, store: Path | None, as_json: bool) -> None:
    """Tell what this machine can build, and what it lacks.

    \b
        edgekit doctor
        edgekit doctor recipe.yaml

    With a RECIPE: whether that can be built here. The exit code is 2 where nothing can.
    """
    from edgekit.api import doctor as run
    from edgekit.cli._progress import OnStderr

    found = run(recipe, store=store, observer=OnStderr())
    if as_json:
        say_json(found)
    else:
        for line in _diagnosis_lines(found):
            say(line)
    if found.faults:
        raise InputError(f"{recipe}: " + "; ".join(found.faults), hint=found.remedy)
    if not any(target.ready for target in found.targets):
        raise InputError("nothing can be built on this machine yet", hint=found.remedy)


def _diagnosis_lines(found: Diagnosis) -> Iterator[str]:
    yield f"edgekit {found.edgekit}, Python {found.python} ({found.executable})"
    yield from _library_lines(found.libraries)
    yield ""
    yield f"ready: {', '.join(t.name for t in found.targets if not t.install) or 'no target'}"
    yield from (f"{t.name} needs {t.install}" for t in found.targets if t.install)
    yield ""
    yield from _host_lines(found.host)
    if found.decoded_bytes:
        yield f"its decoded images take up to {found.decoded_bytes / 1e6:,.0f} MB of the disk"
    yield f"a Raspberry Pi's latency without one: {found.no_core_estimate or 'ready'}"
    yield from (f"note: {remark}" for remark in found.remarks)


def _library_lines(found: dict[str, list[InstalledLibrary]]) -> Iterator[str]:
    told: set[str] = set()
    for extra, libraries in found.items():
        new = [lib for lib in libraries if lib.name not in told]
        told |= {lib.name for lib in new}
        if not new:
            continue
        fitting = ", ".join(f"{lib.name} {lib.installed}" for lib in new if lib.fits)
        yield f"{extra or 'always'}: {fitting or 'nothing of it is installed'}"
        yield from _misfits(new)


def _misfits(libraries: list[InstalledLibrary]) -> Iterator[str]:
    for lib in libraries:
        if lib.installed and not lib.fits:
            yield f"  {lib.name} {lib.installed} does not do: {lib.wanted} is needed"


def _host_lines(host: HostFacts) -> Iterator[str]:
    yield f"{host.cpu}, {host.cores} cores; int8: {', '.join(host.int8) or 'no dot products'}"
    halves = ", ".join(host.half_floats) or "none"
    openvino = host.openvino_precision
    yield f"half floats: {halves}" + (f"; OpenVINO's own choice: {openvino}" if openvino else "")
    memory = f"{host.memory_bytes / 1e9:.1f} GB of memory, " if host.memory_bytes else ""
    yield f"free: {memory}{host.disk_bytes / 1e9:.1f} GB of disk for finished steps"
    yield f"{host.load:.1f} processes wanted a core in the last minute"
