"""Look into a compressed model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli._devices import store_of
from edgekit.cli._options import FILE, debug_option, json_option, store_option, triple
from edgekit.cli._output import say, say_json, tell_unprevented


@click.command()
@click.argument("artifact", type=FILE)
@click.option(
    "--float",
    "float_file",
    type=FILE,
    help="The float file it was made from, where no build says so.",
)
@click.option(
    "--images",
    type=FILE,
    help="A folder of images, instead of those it was calibrated on.",
)
@click.option("--samples", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--mean", callback=triple, help="With --float, of a float input: 0.5 or 0.5,0.5,0.5")
@click.option("--std", callback=triple, help="The same for the standard deviation.")
@click.option("--all", "everything", is_flag=True, help="Show every tensor, not those that matter.")
@store_option
@json_option
@debug_option
def inspect(
    artifact: Path, store: Path | None, everything: bool, as_json: bool, **options: Any
) -> None:
    """Compare a compressed model with its float original.

    \b
        edgekit inspect build/photos/rpi/litert

    ARTIFACT is build/<recipe>/<target>/<variant>, the model in it, or with --float any model file.
    """
    from edgekit.build_folder.float_twin import InspectOptions, locate
    from edgekit.build_folder.inspected import inspect_pair
    from edgekit.cli.console import Console
    from edgekit.inspection.causes import find_causes

    tell_unprevented()
    pair = locate(artifact, store_of(store), InspectOptions(**options))
    inspected = inspect_pair(pair)
    found, operators = inspected.inspection, inspected.operators
    causes = find_causes(found)
    if not any(operator.is_integer for operator in operators):
        kinds = sorted({o.precision + f" ({o.stored} weights)" for o in operators if o.heavy})
        say(f"{pair.path.name}: no operator runs in int8: {', '.join(kinds)}", err=True)
    if not as_json:
        Console().inspection(pair, found, causes, everything)
        return
    value = {
        "file": str(pair.path),
        "float": str(pair.float_path),
        "rescaled": pair.rescaled,
        "sqnr_db": found.sqnr_db,
        "sound": found.is_sound,
        "wrong": [tensor.name for tensor in found.wrong],
        "findings": [cause.model_dump(mode="json", by_alias=True) for cause in causes],
        "inspection": found.model_dump(mode="json", by_alias=True),
    }
    say_json(value)
