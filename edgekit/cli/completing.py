"""Names that a shell completes, and the script that makes it do so."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from edgekit.cli._options import debug_option
from edgekit.cli._output import say

VARIABLE = "_EDGEKIT_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
@debug_option
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete names.

    \b
        edgekit completion bash > ~/.local/share/bash-completion/completions/edgekit

    Commands, options, recipes, targets and devices. zsh: write it to a file _edgekit in a folder
    of $fpath. fish: to ~/.config/fish/completions/edgekit.fish.
    """
    kind = get_completion_class(shell)
    assert kind
    # Not `source`: it asks the shell for its version, which need not be there where this is run.
    made = kind(ctx.find_root().command, {}, "edgekit", VARIABLE)
    say((made.source_template % made.source_vars()).rstrip())


def complete_recipes(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """YAML files, and folders on the way to them."""
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    found = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.name.startswith(".") or not str(path).startswith(incomplete.removeprefix("./")):
            continue
        if path.is_dir():
            found.append(CompletionItem(f"{path}/"))
        elif path.suffix in (".yaml", ".yml"):
            found.append(CompletionItem(str(path)))
    return found


def complete_targets(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from edgekit.spec.target import known_targets

    return [CompletionItem(name) for name in known_targets() if name.startswith(incomplete)]


def complete_targets_or_all(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    every = [CompletionItem("all")] if "all".startswith(incomplete) else []
    return complete_targets(context, parameter, incomplete) + every


def complete_devices(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from edgekit.devices.inventory import read_inventory
    from edgekit.errors import EdgekitError

    try:
        names = list(read_inventory())
    except EdgekitError:  # a key that was pressed is no place for an error
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_search(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """A recipe, or what else `edgekit search` does: then the searches in the store, and the points
    of one whose recipes there are."""
    from edgekit.api.arguments import store_of
    from edgekit.errors import EdgekitError
    from edgekit.model_search.kept import names, read_search

    words = ctx.params.get("words") or ()
    if not words:
        uses = [CompletionItem(use) for use in ("recipe", "show") if use.startswith(incomplete)]
        return [*complete_recipes(ctx, parameter, incomplete), *uses]
    try:
        store = store_of(ctx.params.get("store"))
        found = names(store)
        if len(words) == 2 and words[0] == "recipe":
            found = [one.name for one in read_search(store, words[1]).candidates if one.recipe]
    except EdgekitError:  # a key that was pressed is no place for an error
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]
