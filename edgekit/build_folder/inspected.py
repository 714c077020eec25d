"""`edgekit inspect`: both files are read and run in a confined process, whoever made them."""

from __future__ import annotations

from pydantic import BaseModel

from edgekit.build_folder.float_twin import Pair
from edgekit.engine.confined_call import call_confined
from edgekit.engine.confinement import confinement
from edgekit.inspection.layerwise import inspect_files
from edgekit.inspection.tensor_report import Inspection
from edgekit.runtimes.contract.description import Operator


class Inspected(BaseModel):
    inspection: Inspection
    operators: tuple[Operator, ...]
    """Of the compressed file."""


def inspect_pair(pair: Pair) -> Inspected:
    """
    Raises:
        EdgekitError: as `inspect_files`.
        InputError: a file takes more than a model may take.
    """
    names = dict.fromkeys((pair.path.name, pair.float_path.name))
    return call_confined(confinement(" or ".join(names)), _inspected, (pair,), Inspected)


def _inspected(pair: Pair) -> Inspected:
    files = pair.float_path, pair.float_form, pair.path, pair.form
    return Inspected(
        inspection=inspect_files(pair.runtime, *files, pair.images, pair.rescaled),
        operators=pair.runtime.describe(pair.path).operators,
    )
