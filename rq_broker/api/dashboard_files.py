"""The dashboard: files that a browser runs, which are a client of this API like any other."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from mimetypes import guess_type
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.domain.errors import NotFound

_FOLDER = Path(__file__).with_name("dashboard")
_SUFFIXES = (".js", ".css", ".svg")
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
VIEWS = ("line", "hosts", "job", "callbacks", "reports", "audit", "policy")
"""The first segments of the paths at which the browser shows a view."""


class DashboardEndpoints:
    """The page at / and at the paths of its views, and the files that it loads."""

    def routes(self) -> list[Route]:
        """List the routes."""
        pages = ["/", *(f"/{view}/{{type}}" for view in VIEWS), "/job/{type}/{request_id}"]
        return [
            *(Route(path, self.page, include_in_schema=False) for path in pages),
            Route("/dashboard/{file:path}", self.file, include_in_schema=False),
        ]

    async def page(self, request: Request) -> Response:
        """Return the page; its links begin at the prefix below which the API is mounted."""
        base = f'<base href="{escape(request.scope.get("root_path", ""))}/">'
        text = _files()["index.html"].decode().replace('<base href="/">', base)
        return Response(text, media_type="text/html", headers=_HEADERS)

    async def file(self, request: Request) -> Response:
        """Return a file of the page. Raises NotFound."""
        name = request.path_params["file"]
        content = _files().get(name)
        if content is None or not name.endswith(_SUFFIXES):
            raise NotFound(f"the dashboard has no file {name!r}")
        return Response(content, media_type=guess_type(name)[0], headers=_HEADERS)


@lru_cache(1)
def _files() -> dict[str, bytes]:
    """Return name → content of every file of the page."""
    return {
        str(path.relative_to(_FOLDER)): path.read_bytes()
        for path in sorted(_FOLDER.rglob("*"))
        if path.is_file()
    }
