"""Commands that build, look at and measure models, as functions with the same arguments.

They return pydantic models, which hold what the commands print as JSON; they print nothing and
end no process. What fails is one of `edgekit.errors`. Whoever wants to see how far they are gives
an `Observer`. Libraries are loaded when a function needs them, and not before.
"""

from edgekit.api.building import build, matrix, plan
from edgekit.api.deploying import deploy, rollback
from edgekit.api.fleet import bench_fleet
from edgekit.api.looking import compare, doctor, estimate, inspect, read_report, targets
from edgekit.api.on_devices import bench, bundle, calibrate, import_result, verify
from edgekit.api.searching import read_search, search, search_recipe, sweep
from edgekit.engine.observer import Observer, Silent
from edgekit.notebook import HasPage

__all__ = [
    "Observer",
    "Silent",
    "bench",
    "bench_fleet",
    "build",
    "bundle",
    "calibrate",
    "compare",
    "deploy",
    "doctor",
    "estimate",
    "import_result",
    "inspect",
    "matrix",
    "plan",
    "read_report",
    "read_search",
    "rollback",
    "search",
    "search_recipe",
    "sweep",
    "targets",
    "verify",
]


def _page(found: HasPage) -> str:
    from edgekit.api.pages import page_of

    return page_of(found)


HasPage.lay_out = _page
