# What a type checker sees of __init__.py, which finds these names when they are asked for.
from edgekit.api import Observer as Observer
from edgekit.api import Silent as Silent
from edgekit.api import bench as bench
from edgekit.api import bench_fleet as bench_fleet
from edgekit.api import build as build
from edgekit.api import bundle as bundle
from edgekit.api import calibrate as calibrate
from edgekit.api import compare as compare
from edgekit.api import deploy as deploy
from edgekit.api import doctor as doctor
from edgekit.api import estimate as estimate
from edgekit.api import import_result as import_result
from edgekit.api import inspect as inspect
from edgekit.api import matrix as matrix
from edgekit.api import plan as plan
from edgekit.api import read_report as read_report
from edgekit.api import read_search as read_search
from edgekit.api import rollback as rollback
from edgekit.api import search as search
from edgekit.api import search_recipe as search_recipe
from edgekit.api import sweep as sweep
from edgekit.api import targets as targets
from edgekit.api import verify as verify

__version__: str
__all__: list[str]
