"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(path_type=Path)
# `main` reads it, before there is a command.
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
store_option = click.option("--store", type=FILE, default=None, help="The cache folder.")
