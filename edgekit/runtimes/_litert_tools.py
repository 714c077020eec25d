"""LiteRT's tools: loaded when needed, kept quiet, and quoted when they fail."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit import packages
from edgekit.errors import EdgekitError
from edgekit.models._tensorflow import STREAMS, make_way
from edgekit.models.kept import words_of


def need(module: str) -> Any:
    """Import a library that may be absent.

    Raises:
        MissingPackage: it is, with the extra that installs it.
    """
    package = module.split(".")[0]
    if package in ("tensorflow", "keras"):
        make_way()
    with packages.told("the litert runtime"):
        return importlib.import_module(module)


@contextlib.contextmanager
def library(
    failure: str,
    kind: type[EdgekitError] = EdgekitError,
    hint: str = "LiteRT's tools do not say which operator it is",
    names: dict[Path, str] | None = None,
) -> Iterator[None]:
    """Keep the libraries' chatter off the terminal; where they fail, say so with its last words.

    Their C++ half writes to the file descriptors, not to Python's streams.

    Args:
        kind: what a failure is raised as, e.g. Unsupported where the model is to blame.
        hint: where the libraries say nothing that helps.
        names: what to call files of the store.

    Raises:
        EdgekitError: of the given kind, for whatever the libraries raise.
    """
    with STREAMS, tempfile.TemporaryFile() as log:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        words = io.StringIO()
        try:
            with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
                yield
        except (EdgekitError, OSError):
            raise
        except Exception as error:
            log.seek(0)
            heard = words.getvalue() + log.read().decode(errors="replace")
            blamed = words_of(_blame(f"{error}\n{heard}") or hint, names or {})
            raise kind(f"{failure}: {words_of(error, names or {})}", hint=blamed) from error
        finally:
            for number, kept in zip((1, 2), saved, strict=True):
                os.dup2(kept, number)
                os.close(kept)


def _blame(text: str) -> str:
    """A hint that names the operator, else the line of the model, else the last error heard; empty
    where nothing was."""
    operator = re.findall(r"(?:Lowering not found:|legalize operation) *'?([\w.:]+)", text)
    code = re.findall(r"line \d+, in \w+\n\s+(.+)", text)
    errors = [line.strip() for line in text.splitlines() if "rror" in line]
    if operator:
        return f"look at the layer that uses {operator[0]}"
    if code:
        return f"look at the code `{code[-1]}`"
    return errors[-1] if errors else ""
