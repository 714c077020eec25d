"""What rich prints on."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from edgekit.cli._output import output_errors
from edgekit.printable import printable


class Terminal(Console):
    """Prints text as it is: no markup, no emoji and no control characters of a name take effect."""

    def __init__(self, stderr: bool) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        with output_errors(sys.stderr if self.stderr else sys.stdout):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
