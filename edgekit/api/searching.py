"""Many recipes that differ in a few fields: `sweep`, and `search` for the one to take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.api.arguments import PathLike, store_of
from edgekit.api.boards import Names, board_for
from edgekit.api.workers import Workers, crew_of
from edgekit.engine.observer import Observer, Silent
from edgekit.errors import make_folder, need_folder
from edgekit.packages import need_extra, told

if TYPE_CHECKING:
    from edgekit.model_search.report import SearchReport
    from edgekit.model_search.sweep import SweepReport
    from edgekit.spec.recipe import Recipe

Over = Mapping[str, Sequence[Any]] | Sequence[str]
"""Values by the dotted paths of fields, or texts as on the command line: `prune.keep=0.5,0.7`."""


def sweep(
    recipe: PathLike,
    target: PathLike,
    over: Over,
    *,
    device: Names = None,
    group: Names = None,
    out: PathLike | None = None,
    store: PathLike | None = None,
    workers: Workers = 1,
    observer: Observer | None = None,
) -> SweepReport:
    """Build a recipe for a target over a grid of its fields, every step of it once.

    Args:
        over: values by the dotted paths of fields, such as `data.image_size`.
        device, group: as `build`.
        out: where the report goes; build/sweep/<recipe>-<target> unless named.
        workers: processes that run steps of several points at a time; the results are the same.

    Returns:
        every point, also of those that failed; its `check` raises what the command ends with.

    Raises:
        InputError: a field or a value that the recipe refuses, before anything runs.
    """
    from edgekit.model_search.sweep import publish_sweep, run_sweep
    from edgekit.model_search.sweep_page import render_sweep
    from edgekit.setup.needs import need_runtimes

    watching = observer or Silent()
    with told():
        vary, parsed = varied(recipe, watching)
        loaded, board = target_of(target, device, group, watching)
        need_runtimes(parsed, [loaded])
        folder = report_folder("sweep", parsed.name, loaded.name, out)
        need_folder(folder, "--out")
        cache = store_of(store)
        with crew_of(cache, workers) as crew:
            return run_sweep(
                axes_of(over),
                vary,
                loaded,
                cache,
                watching,
                board,
                lambda found: publish_sweep(found, folder, render_sweep),
                crew,
            )


def search(
    recipe: PathLike,
    target: PathLike,
    *,
    limits: Sequence[str] = (),
    over: Over = (),
    device: Names = None,
    group: Names = None,
    budget: float | None = None,
    out: PathLike | None = None,
    store: PathLike | None = None,
    workers: Workers = 1,
    observer: Observer | None = None,
) -> SearchReport:
    """Find the recipe to take for a target, among those that a recipe's section `search` names.

    Args:
        limits: what it must hold, such as `latency<=8ms`; in place of the recipe's own on the same
            figure.
        over: values by the dotted paths of fields, beside the recipe's own.
        device, group: time everything there; see `build`.
        budget: seconds after which no new work is begun.
        out: where the report and the front's weights go; build/search/<recipe>-<target> unless
            named.
        workers: processes that run steps of several candidates at a time, as far as the next one
            does not follow from those before; the results are the same.

    Returns:
        the front and every candidate; its `check` raises what the command ends with.

    Raises:
        InputError: fields, values or limits that cannot work, before anything runs.
        MissingPackage: edgekit is installed without the extra `search`.
    """
    from edgekit.model_search.kept import folder_of, publish_search
    from edgekit.model_search.limits import parse_limits, replaced_limits
    from edgekit.model_search.run import run_search
    from edgekit.model_search.search_page import render_search
    from edgekit.model_search.space import space_of
    from edgekit.model_search.task import SearchTask
    from edgekit.setup.needs import need_runtimes

    watching = observer or Silent()
    with told():
        need_extra("search")
        vary, parsed = varied(recipe, watching)
        loaded, board = target_of(target, device, group, watching)
        own = parse_limits(parsed.search.limits if parsed.search else [], "search.limits")
        asked = replaced_limits(own, parse_limits(limits))
        need_runtimes(parsed, [loaded])
        space = space_of(parsed, axes_of(over), loaded, vary)
        cache = store_of(store)
        folder = report_folder("search", parsed.name, loaded.name, out)
        make_folder(folder, "--out")
        with crew_of(cache, workers) as crew:
            task = SearchTask(
                recipe=parsed,
                vary=vary,
                space=space,
                limits=asked,
                target=loaded,
                store=cache,
                observer=watching,
                folder=folder,
                board=board,
                crew=crew,
            )
            kept = folder_of(cache, task.name)
            return run_search(
                task, lambda found: publish_search(found, kept, folder, render_search), budget
            )


def report_folder(command: str, recipe: str, target: str, out: PathLike | None) -> Path:
    """Where a sweep or a search leaves its report."""
    return Path(out) if out else Path("build") / command / f"{recipe}-{target}"


def read_search(name: str, *, store: PathLike | None = None) -> SearchReport:
    """A search that is there, by its name: <recipe>-<target>.

    Raises:
        InputError: there is none of that name.
    """
    from edgekit.model_search import kept

    return kept.read_search(store_of(store), name)


def search_recipe(name: str, point: str, *, store: PathLike | None = None) -> str:
    """The text of the recipe that goes on from the weights of a point of a search's front.

    Raises:
        InputError: there is no such search or point, or it was not trained to its end.
    """
    from edgekit.model_search import kept
    from edgekit.model_search.rungs import recipe_text

    found = kept.point_of(kept.read_search(store_of(store), name), point)
    assert found.recipe
    return recipe_text(found.recipe)


def axes_of(over: Over) -> dict[str, list[Any]]:
    from edgekit.model_search.axes import check_values, parse_axes

    if not isinstance(over, Mapping):
        return parse_axes([over] if isinstance(over, str) else over)
    found = {path: list(values) for path, values in over.items()}
    for path, values in found.items():
        check_values(path, values)
    return found


def varied(
    recipe: PathLike, observer: Observer
) -> tuple[Callable[[Mapping[str, Any]], Recipe], Recipe]:
    """What gives a recipe with other values, and the recipe as it stands."""
    from edgekit.spec.fields import with_fields
    from edgekit.spec.recipe import load_recipe
    from edgekit.spec.yamlfile import named_document

    parsed = load_recipe(Path(recipe), observer.remark)
    # Its paths are resolved from a whole path, as a recipe of the front may lie elsewhere.
    document = named_document(Path(recipe).absolute())
    return lambda settings: with_fields(document, parsed, settings), parsed


def target_of(target: PathLike, device: Names, group: Names, observer: Observer) -> tuple[Any, Any]:
    """A target, and what stands for it, if a device is named."""
    from edgekit.spec.target import load_target

    loaded = load_target(str(target), observer.remark)
    board = board_for(device, group, [loaded], observer)
    return (board.target, board) if board else (loaded, None)
