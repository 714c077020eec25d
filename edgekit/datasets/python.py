"""One's own data: a Python function that returns a `Listing`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgekit.datasets.base import Listing, Source
from edgekit.errors import DataError


class Python(Source):
    source: Literal["python"]
    function: str = Field(pattern=r"^[\w.]+:\w+$")
    """`package.module:function`; called without arguments, it returns an
    `edgekit.datasets.base.Listing`. The recipe's folder is on the import path."""

    def listing(self, base: Path) -> Listing:
        module_name, function_name = self.function.split(":")
        sys.path.insert(0, str(base.resolve()))
        try:
            function = getattr(importlib.import_module(module_name), function_name)
        except (ImportError, AttributeError) as error:
            raise DataError(
                f"data.function: cannot find {self.function}: {error}",
                hint=f"put {module_name}.py beside the recipe, or install the package",
            ) from error
        finally:
            sys.path.pop(0)
        listing = function()
        if not isinstance(listing, Listing):
            raise DataError(
                f"{self.function} returned {type(listing).__name__}, an edgekit Listing expected"
            )
        return listing
