"""The targets of a recipe beside each other: of this build, and of earlier ones that still hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgekit.build_folder.reading import REPORT, read_report
from edgekit.build_folder.report import Report
from edgekit.errors import InputError

BUILD_THEM = "build it again to compare it"


@dataclass(frozen=True)
class Comparison:
    reports: list[Report]
    """Of one float model: this build's in their order, then the others by name."""
    stale: dict[str, str] = field(default_factory=dict)
    """Targets in the folder whose figures are of something else, each with the reason."""

    @property
    def is_one(self) -> bool:
        """There is something to compare, or to be told of."""
        return len(self.reports) + len(self.stale) > 1


def compare(folder: Path, built: list[Report]) -> Comparison:
    """
    Args:
        folder: of the recipe, with a folder for each target.
        built: the reports of this build; with none, nothing is compared.
    """
    found = Comparison(list(built))
    known = {report.target for report in built}
    for path in sorted(folder.glob(f"*/{REPORT}")) if built else ():
        if path.parent.name in known:
            continue
        try:
            other = read_report(path.parent)
        except InputError as error:
            found.stale[path.parent.name] = error.message
            continue
        if other and (why := _why_stale(other, built[0])):
            found.stale[path.parent.name] = why
        elif other:
            found.reports.append(other)
    return found


def _why_stale(other: Report, built: Report) -> str:
    if other.recipe_key is None or other.recipe_key != built.recipe_key:
        return f"built {other.created} from another state of the recipe; {BUILD_THEM}"
    before, now = _shared(other), _shared(built)
    # A build that broke off early has not come to all of them.
    if any(before[step] != now[step] for step in before.keys() & now.keys()):
        return f"built {other.created} from another float model or other images; {BUILD_THEM}"
    return ""


def _shared(report: Report) -> dict[str, str]:
    """Digests of the trunk: what no target has for itself."""
    own = f"{report.target}/"
    return {step.id: step.digest for step in report.steps if not step.id.startswith(own)}
