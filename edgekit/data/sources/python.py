"""One's own data: a Python function that returns a `Listing`."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from edgekit.data.sources.base import Listing, Source
from edgekit.engine.user_paths import UserFunction, folder_of
from edgekit.errors import DataError


class Python(Source):
    source: Literal["python"]
    """A function of yours that lists the images."""
    function: str = Field(pattern=r"^[\w.]+:\w+$")
    """`package.module:function`; called without arguments, it returns an
    `edgekit.data.sources.base.Listing`. The recipe's folder is on the import path."""

    _folder: Path = PrivateAttr(Path())

    def model_post_init(self, context: Any) -> None:
        self._folder = folder_of(context)

    def listing(self) -> Listing:
        try:
            listing = UserFunction(self.function, self._folder)()
        except (Exception, SystemExit) as error:
            raise self._failure(error) from error
        if not isinstance(listing, Listing):
            raise DataError(
                f"{self.function} returned {type(listing).__name__}, an edgekit Listing expected"
            )
        return listing

    def _failure(self, error: BaseException) -> DataError:
        module_name = self.function.split(":")[0]
        what = f"{type(error).__name__}: {error}"
        place = _place(error, module_name.split(".")[0])
        if place is None:  # none of its code ran
            return DataError(
                f"data.function: cannot call {self.function}: {what}",
                hint=f"put {module_name}.py beside the recipe, or install the package; "
                "the function takes no arguments",
            )
        moved = "edgekit.datasets" in what
        return DataError(
            f"data.function: {self.function} failed at {place}: {what}",
            hint="import Listing and Sample from edgekit.data.sources.base" if moved else None,
        )


def _place(error: BaseException, package: str) -> str | None:
    """File and line of the deepest call inside a package: the user's code, not what it uses."""
    place = f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).split(".")[0] == package:
            place = f"{frame.f_code.co_filename}:{line}"
    return place
