"""Render the report of a build again, from its folder alone."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli._options import FILE, debug_option
from edgekit.cli._output import say, say_json
from edgekit.engine.atomic import write_atomically
from edgekit.errors import InputError, make_folder, storage_errors

if TYPE_CHECKING:
    from edgekit.build_folder.report import Report

PAGES = {"html": "report.html", "md": "report.md"}
FORMATS = (*PAGES, "json", "csv")


@click.command()
@click.argument("folder", type=FILE)
@click.option("--format", "kind", type=click.Choice(FORMATS), default="html", show_default=True)
@click.option("--out", type=FILE, help="Write to this file.")
@click.option("--no-thumbnails", is_flag=True, help="Leave pictures out of the page.")
@debug_option
def report(folder: Path, kind: str, out: Path | None, no_thumbnails: bool) -> None:
    """Render a build's report again, from its folder alone.

    \b
        edgekit report build/photos/rpi
        edgekit report build/photos/rpi --format csv > rows.csv

    FOLDER is build/<recipe>/<target>. Pages are written into it; json and csv are printed.
    """
    from edgekit.report.pages import read_beside
    from edgekit.report.render import render_html, render_markdown
    from edgekit.report.table import render_csv

    place, found = _read(folder)
    if kind == "json" and out is None:
        say_json(found)
        return
    if kind == "html":
        text = render_html(found, read_beside(place, found, pictures=not no_thumbnails))
    elif kind == "md":
        text = render_markdown(found)
    else:
        text = found.model_dump_json(indent=1) if kind == "json" else render_csv(found)
    if kind == "csv" and out is None:
        say(text.rstrip("\n"))
        return
    path = out or place / PAGES[kind]
    make_folder(path.parent, "--out")
    with storage_errors(path, "--out"):
        write_atomically(path, text)
    say(f"Report: {path}")


def _read(path: Path) -> tuple[Path, Report]:
    """
    Raises:
        InputError: it is no folder of a build, or holds a report without figures.
    """
    from edgekit.build_folder.reading import BUILD_AGAIN, REPORT, read_report

    folder = path.parent if path.is_file() else path
    found = read_report(folder)
    if found is None:
        builds = sorted(p.parent for p in folder.glob(f"*/{REPORT}"))
        hint = (
            f"name one of its folders: {', '.join(shlex.quote(str(p)) for p in builds)}"
            if builds
            else "name build/<recipe>/<target>"
        )
        raise InputError(f"{path} is no folder of a build: no {REPORT} is in it", hint=hint)
    if not found.rows:
        raise InputError(f"{folder / REPORT} holds no figures", hint=BUILD_AGAIN)
    return folder, found
