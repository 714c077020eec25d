"""Who watches a command, where it is no table and no bar."""

from __future__ import annotations

from edgekit.cli._output import say
from edgekit.engine.observer import Silent


class OnStderr(Silent):
    """Prints remarks alone."""

    def remark(self, line: str) -> None:
        say(line, err=True)
