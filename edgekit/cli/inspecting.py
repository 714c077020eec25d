"""Look into a compressed model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._options import FILE, debug_option, json_option, store_option, triple
from edgekit.cli._output import say, say_json

if TYPE_CHECKING:
    from edgekit.api.results import InspectReport
    from edgekit.inspection.summary import ModelSummary


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
    """Look into a model, and where its int8 goes wrong.

    \b
        edgekit inspect build/photos/rpi/litert
        edgekit inspect model.onnx
        edgekit inspect checkpoint.pth

    ARTIFACT is build/<recipe>/<target>/<variant>, the model in it, or with --float any model file;
    without it what an ONNX, TensorFlow Lite, OpenVINO or Keras file holds is told, and of a
    checkpoint of torch which weights are taken of it and the lines that load them.
    """
    from edgekit.api import inspect as run
    from edgekit.api.results import InspectReport
    from edgekit.cli._checkpoint_lines import checkpoint_lines
    from edgekit.cli.console import Console
    from edgekit.inspection.checkpoint import CheckpointSummary

    console = Console(quiet=as_json)
    found = run(artifact, store=store, observer=console, **options)
    if isinstance(found, InspectReport):
        _say_float_alone(found)
    if as_json:
        say_json(found)
    elif isinstance(found, InspectReport):
        console.inspection(found, everything)
    elif isinstance(found, CheckpointSummary):
        for line in checkpoint_lines(found):
            say(line)
    else:
        for line in _summary(found):
            say(line)
        if found.format != "keras":
            say("--float FLOAT_FILE and --images FOLDER compare it with its original", err=True)


def _say_float_alone(found: InspectReport) -> None:
    if not any(operator.is_integer for operator in found.operators):
        kinds = sorted({f"{o.precision} ({o.stored} weights)" for o in found.operators if o.heavy})
        say(f"{found.file.name}: no operator runs in int8: {', '.join(kinds)}", err=True)


def _summary(found: ModelSummary) -> Iterator[str]:
    of = "a Keras file" if found.format == "keras" else f"a file of {found.format}"
    yield f"{found.file}: {of}, {_megabytes(found.bytes)}"
    for what, ports in (("takes", found.inputs), ("gives", found.outputs)):
        for port in ports:
            codes = (
                "" if port.scale is None else f", codes of {port.scale:.3g} from {port.zero_point}"
            )
            yield f"{what} {port.name}: {port.dtype} {list(port.shape)}{codes}"
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.operators.items())
    yield f"{'layers' if found.format == 'keras' else 'operators'}: {kinds or 'none'}"
    stored = (f"{_megabytes(size)} {kind}" for kind, size in found.weights.items())
    yield f"weights: {', '.join(stored) or 'none'}"
    if found.macs is not None:
        yield f"work: {found.macs / 1e6:.1f} million multiply-accumulates for one image"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
