"""The server: it reads, and answers GET and HEAD alone.

A page in a browser can send requests to this machine. Other names than this server's own are
refused (a stranger's name that is made to point here would else read it), no other page may hold
its pages in a frame, and no page loads anything from elsewhere or runs a script. Reports may come
from a stranger: they are shown in a sandbox.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import EdgekitError
from edgekit.history.database import History
from edgekit.history.trend import trends_of
from edgekit.server.found import Item, find, find_at
from edgekit.server.hosts import OwnNames
from edgekit.server.pages import (
    CHOICES,
    Filter,
    list_page,
    message_page,
    stylesheet,
    trend_page,
)

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWN = (
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
OF_REPORTS = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
CSP = "content-security-policy"
HEADERS = {
    CSP: OWN,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def make_app(root: Path, store: Path, own: OwnNames) -> Starlette:
    """
    Args:
        root: the folder whose builds are shown.
        store: whose history is shown.
        own: what requests may call the server by.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.routing import Route

    pages = _Pages(root.resolve(), History(store))
    routes = {
        "/": pages.list, "/compare": pages.compare, "/trend": pages.trend,
        "/files/{path:path}": pages.file, "/style.css": pages.style,
    }  # fmt: skip
    return Starlette(
        routes=[Route(path, answer, methods=["GET"]) for path, answer in routes.items()],
        middleware=[
            Middleware(_Headers),
            Middleware(_OwnNamesOnly, own=own),
        ],
        exception_handlers={HTTPException: pages.refused, EdgekitError: pages.failed},
    )


class _Headers:
    """Adds the headers that an answer has not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import MutableHeaders

        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with if scope["type"] == "http" else send)


class _OwnNamesOnly:
    """Refuses requests that call the server by a name that is not its own."""

    def __init__(self, app: ASGIApp, own: OwnNames) -> None:
        self.app, self.own = app, own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers
        from starlette.responses import PlainTextResponse

        answer = self.app
        if scope["type"] == "http" and not self.own.allow(Headers(scope=scope).get("host", "")):
            answer = PlainTextResponse("That is no name of this server's: use its address.", 400)
        await answer(scope, receive, send)


class _Pages:
    """What answers each path. No method is async, so that each has a thread of its own."""

    def __init__(self, root: Path, history: History) -> None:
        self.root = root
        self.history = history

    def list(self, request: Request) -> Response:
        asked = {name: request.query_params.get(name, "") for name in CHOICES}
        return _html(list_page(self.root, find(self.root), Filter(**asked)))

    def trend(self, request: Request) -> Response:
        recipe, target = (request.query_params.get(name) or None for name in ("recipe", "target"))
        return _html(trend_page(trends_of(self.history, recipe, target), self.history.path))

    def compare(self, request: Request) -> Response:
        from edgekit.comparison.compare import compare
        from edgekit.comparison.locate import locate
        from edgekit.report.render import render_compare

        two = [self._asked(request, name) for name in ("a", "b")]
        if two[0].path == two[1].path:
            raise _http(400, "A and B are the same: choose two")
        groups = locate([self._folder(item) for item in two], every_variant=False)
        page = render_compare(compare(groups, timing=False, progress=lambda *_: None))
        return _html(self._below(page), OF_REPORTS)

    def _asked(self, request: Request, name: str) -> Item:
        path = request.query_params.get(name, "")
        item = find_at(self.root, path).item(path)
        if item is None:
            raise _http(404, f"{name.upper()}: choose a build or a run of the list")
        return item

    def _folder(self, item: Item) -> Path:
        """Its folder, in which nothing is a link, which may lead out of what is served."""
        for folder, below, names in os.walk(item.folder):
            if any(os.path.islink(os.path.join(folder, name)) for name in (*below, *names)):
                raise _http(403, f"{item.path} holds a link, and links are not followed")
        return item.folder

    def file(self, request: Request) -> Response:
        asked = request.path_params["path"]
        path = find_at(self.root, os.path.dirname(asked) or ".").pages.get(asked)
        if path is None:
            raise _http(404, "no such page")
        # A link that has come into its place meanwhile is not followed either.
        flags = os.O_RDONLY | os.O_NOFOLLOW
        with suppress(OSError), open(os.open(path, flags), "rb") as stream:
            return _html(stream.read(), OF_REPORTS)
        raise _http(404, "it is gone")

    def refused(self, _: Request, error: Exception) -> Response:
        from starlette.exceptions import HTTPException

        assert isinstance(error, HTTPException)
        page = message_page(str(error.status_code), error.detail)
        return _html(page, OWN, error.status_code, error.headers)

    def failed(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, EdgekitError)
        message = self._below(error.message)
        return _html(message_page("That cannot be shown", message, error.hint), OWN, 422)

    def _below(self, text: str) -> str:
        """The same with paths below folder and store: the way there is nobody else's business."""
        for folder in sorted((self.root, self.history.path.parent), key=lambda p: -len(p.parts)):
            text = text.replace(f"{folder}{os.sep}", "")
        return text

    def style(self, _: Request) -> Response:
        from starlette.responses import Response

        return Response(stylesheet(), media_type="text/css")


def _html(
    page: str | bytes,
    policy: str = OWN,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    from starlette.responses import HTMLResponse

    return HTMLResponse(page, status, headers={**(headers or {}), CSP: policy})


def _http(status: int, words: str) -> Exception:
    from starlette.exceptions import HTTPException

    return HTTPException(status, words)


def runner_of(app: Starlette) -> Callable[[list[socket.socket]], None]:
    """What answers on sockets that listen, until Ctrl-C."""
    import uvicorn

    settings = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False,
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    return uvicorn.Server(settings).run
