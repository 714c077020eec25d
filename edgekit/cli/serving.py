"""A local page over builds and runs on devices."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

import click

from edgekit.cli._options import FILE, debug_option, store_option
from edgekit.cli._output import say
from edgekit.errors import InputError


@click.command()
@click.argument("folder", type=FILE, metavar="DIR")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="An address of this machine's."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes a free one.",
)
@store_option
@debug_option
def serve(folder: Path, host: str, port: int, store: Path | None) -> None:
    """Show builds and device reports below a folder in a browser.

    \b
        edgekit serve build

    It only reads, and only this machine reaches it unless --host names another address.
    """
    from edgekit.engine.store import default_store
    from edgekit.server.app import make_app, runner_of
    from edgekit.server.hosts import is_loopback, names_of

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", hint="name one with builds below it: build")
    run = runner_of(make_app(folder, store or default_store(), names_of(host)))
    with _listening(host, port) as listening:
        if not is_loopback(host):
            say(
                f"warning: {host} is no address of this machine alone: whoever reaches it reads "
                f"every report in {folder}, without a password",
                err=True,
            )
        shown = f"[{host}]" if ":" in host else host
        say(f"{folder} at http://{shown}:{listening.getsockname()[1]}/ until Ctrl-C")
        with contextlib.suppress(KeyboardInterrupt):  # raised once all is closed
            run([listening])


def _listening(host: str, port: int) -> socket.socket:
    """
    Raises:
        InputError: the port is taken, not allowed, or the address is none of this machine's.
    """
    where = f"--host {host} --port {port}"
    try:
        kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=kind)
    except OSError as error:
        code = error.errno
        if code == errno.EADDRINUSE:
            raise InputError(f"{where}: it is taken", hint="--port 0 takes a free one") from error
        if code == errno.EACCES:
            raise InputError(
                f"{where}: ports below 1024 need more rights", hint="take a higher one, or --port 0"
            ) from error
        why = os.strerror(code) if code and code > 0 else error.strerror
        raise InputError(f"{where}: {why}", hint="without --host it is 127.0.0.1") from error
