"""How a result looks where a notebook shows it."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any, ClassVar

HEIGHT = 640
"""Pixels of a page in a notebook."""


class HasPage:
    """A record that a room above can lay out: `edgekit.api` says how."""

    lay_out: ClassVar[Callable[[Any], str] | None] = None
    """Gives its HTML document; None until `edgekit.api` is loaded."""

    def _repr_html_(self) -> str | None:
        """What Jupyter shows. In a frame: the page's styles are not the notebook's."""
        lay_out = type(self).lay_out
        if lay_out is None:
            return None
        page = html.escape(lay_out(self), quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="" width="100%" height="{HEIGHT}" '
            'style="border: 0"></iframe>'
        )
