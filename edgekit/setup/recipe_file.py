"""The recipe as a file, which is there only where `edgekit plan` takes it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.engine.atomic import need_file
from edgekit.engine.store import Store
from edgekit.errors import InputError, storage_errors
from edgekit.pipeline.plan import Plan, make_plan
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import Target


def refuse_existing(out: Path, force: bool) -> None:
    """
    Raises:
        InputError: the file is there already, or its folder is not, or it is no name of a recipe.
    """
    need_file(out)
    if out.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"--out: {out} is no name of a recipe", hint="e.g. --out flowers.yaml")
    if not out.parent.is_dir():
        raise InputError(f"--out: there is no folder {out.parent}")
    if out.exists() and not force:
        raise InputError(
            f"{out} is there already, and is left as it is",
            hint="--out NAME.yaml writes another one; --force writes over it",
        )


def plan_text(text: str, out: Path, target: Target, store: Store) -> Plan:
    """What would be planned if the recipe had this text; nothing is left of it.

    Raises:
        InputError: what `edgekit plan` would say of it.
    """
    with _draft(text, out) as draft:
        return make_plan(load_recipe(draft), [target], store)


def write_checked(text: str, out: Path, target: Target, store: Store) -> Plan:
    """Write a recipe that can be planned; nothing where it cannot.

    Raises:
        InputError: what `edgekit plan` would say of it.
    """
    with _draft(text, out) as draft:
        planned = make_plan(load_recipe(draft), [target], store)
        draft.replace(out)
    return planned


@contextmanager
def _draft(text: str, out: Path) -> Iterator[Path]:
    """A file beside the recipe's, as its paths begin at its folder."""
    draft = out.with_name(f"draft-{uuid.uuid4().hex[:8]}.yaml")
    with storage_errors(out.parent, "--out"):
        try:
            draft.write_text(text, encoding="utf-8")
            yield draft
        finally:
            draft.unlink(missing_ok=True)
