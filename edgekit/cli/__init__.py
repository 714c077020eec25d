"""The command line: the only place that prints and exits. One file a group of commands."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
import traceback

import click

from edgekit import __version__
from edgekit.cli import (
    benching,
    building,
    comparing,
    completing,
    deployed,
    deploying,
    describing,
    devices,
    estimating,
    inspecting,
    recording,
    reporting,
    searching,
    serving,
    starting,
    storing,
)
from edgekit.cli._output import PIPE_CLOSED, OutputClosed, output_failed, prepare_streams, say
from edgekit.errors import EdgekitError, InputError
from edgekit.packages import missing_package

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
INTERRUPTED = "the steps that a build has finished are kept; what ran on a device begins anew"

NAMED = "the names of your devices: edgekit device list; a new one: edgekit device add -h"
EXAMPLES = {
    "out": "e.g. --out bundles/model for a folder, --out model.tar for one file",
    "device": NAMED,
    "devices": NAMED,
    "target": "e.g. --target rpi5; all that there are: edgekit targets",
}
"""What to write for an option that is missing."""


def main() -> None:
    """Run the command and turn every failure into a message and an exit code."""
    prepare_streams()
    debug = "--debug" in sys.argv
    if debug:
        # Of edgekit alone: what libraries log for debugging is theirs.
        logging.getLogger("edgekit").setLevel(logging.DEBUG)
        logging.getLogger("edgekit").addHandler(_Said())
    if completing.VARIABLE in os.environ:
        cli.main(prog_name="edgekit", complete_var=completing.VARIABLE)  # ends the process
    try:
        cli.main(standalone_mode=False)
    except BaseException as error:
        if debug:
            say(_frames(error), err=True)
        sys.exit(_tell(error))


class _Said(logging.Handler):
    """Prints what is logged as everything else is printed."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), err=True)


def _frames(error: BaseException) -> str:
    """The traceback with those of all causes, also where a message hides them: the library's own
    frames are what a report of a fault needs."""
    cause: BaseException | None = error
    while cause:
        cause.__suppress_context__ = False
        cause = cause.__cause__ or cause.__context__
    return "".join(traceback.format_exception(error))


def _tell(error: BaseException) -> int:
    """Print what went wrong; the exit code for it."""
    if isinstance(error, click.exceptions.Abort | KeyboardInterrupt):
        return _fail(f"interrupted; {str(error) or INTERRUPTED}", None, 130)
    if isinstance(error, click.ClickException):
        words = io.StringIO()
        error.show(words)
        say(words.getvalue().rstrip(), err=True)
        if isinstance(error, click.MissingParameter) and error.param:
            _say_hint(EXAMPLES.get(error.param.name or ""))
        return 2
    error = _as_edgekits(error)
    if isinstance(error, OutputClosed):  # `| head` has seen enough
        return 128 + signal.SIGPIPE
    if isinstance(error, EdgekitError):
        return _fail(error.message, error.hint, error.exit_code)
    what = f"a fault of edgekit's own: {type(error).__name__}: {error}"
    return _fail(what, "run again with --debug and report what it prints", 1)


def _as_edgekits(error: BaseException) -> BaseException:
    """An error of edgekit's in place of one of Python's that anybody can meet."""
    # Click prints help itself, and ends where a pipe is closed; a file would have its name.
    if isinstance(error, SystemExit):
        return OutputClosed(PIPE_CLOSED)
    if isinstance(error, ModuleNotFoundError):
        return missing_package(error) or error
    if not isinstance(error, OSError):
        return error
    if error.errno in NO_SPACE and not error.filename:
        return output_failed(error)
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"the name of a file is too long: {str(error.filename)[:80]}...")
    return error


def _fail(message: str, hint: str | None, code: int) -> int:
    say(message, err=True, mark="error: ", fg="red", bold=True)
    _say_hint(hint)
    return code


def _say_hint(hint: str | None) -> None:
    if hint:
        say(hint, err=True, mark="hint: ", fg="cyan")


GROUPS: dict[str, tuple[click.Command, ...]] = {
    "Start": (
        starting.init,
        describing.doctor,
        describing.targets,
        describing.stages,
        describing.schema,
        describing.explain,
        completing.completion,
    ),
    "Build": (
        building.plan,
        building.build,
        searching.sweep,
        searching.search,
        building.matrix,
        storing.store,
    ),
    "Look": (
        inspecting.inspect,
        comparing.compare,
        reporting.report,
        recording.history,
        serving.serve,
        benching.bench,
        estimating.estimate,
    ),
    "Devices": (
        devices.device,
        deploying.bundle,
        deploying.deploy,
        deploying.rollback,
        deployed.verify,
        benching.import_,
        estimating.calibrate,
    ),
}
"""The commands by what people come for, in the order of their work."""


class _Grouped(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [str(command.name) for commands in GROUPS.values() for command in commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        longest = max(map(len, self.list_commands(ctx)))
        for title, commands in GROUPS.items():
            room = formatter.width - 6 - longest
            rows = [(f"{c.name:{longest}}", c.get_short_help_str(room)) for c in commands]
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(cls=_Grouped, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgekit")
def cli() -> None:
    """From a chosen image classifier to a measured int8 model on an edge device.

    \b
        edgekit init photos --target rpi
        edgekit build photos.yaml --target rpi
    """


for _commands in GROUPS.values():
    for _command in _commands:
        cli.add_command(_command)
