"""The command line: the only place that prints and exits. One file a group of commands."""

from __future__ import annotations

import sys
import traceback

import click

from edgekit import __version__
from edgekit.cli import benching, building, deploying, devices, estimating, inspecting
from edgekit.errors import EdgekitError


def main() -> None:
    """Run the command and turn every failure into a message and an exit code."""
    debug = "--debug" in sys.argv
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted", INTERRUPTED, 130)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED, 130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except EdgekitError as error:
        if debug:
            traceback.print_exc()
        _fail(error.message, error.hint, error.exit_code)
    except Exception as error:
        if debug:
            traceback.print_exc()
        what = f"a fault of edgekit's own: {type(error).__name__}: {error}"
        _fail(what, "run again with --debug and report what it prints", 1)


INTERRUPTED = "the steps that a build has finished are kept; what ran on a device begins anew"


def _fail(message: str, hint: str | None, code: int) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True)
    if hint:
        click.echo(click.style("hint: ", fg="cyan") + hint, err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgekit")
def cli() -> None:
    """From a chosen image classifier to a measured int8 model on an edge device."""


for command in (
    building.build,
    building.plan,
    building.matrix,
    deploying.bundle,
    deploying.deploy,
    deploying.rollback,
    benching.bench,
    benching.import_,
    estimating.calibrate,
    estimating.estimate,
    inspecting.inspect,
    inspecting.schema,
    devices.device,
):
    cli.add_command(command)
