"""The documentation over HTTP: Markdown pages, the reference of the API, the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import html
from rq_broker.api.openapi import document, operations_of
from rq_broker.api.responses import UNSNIFFED, Reply
from rq_broker.domain.errors import NotFound
from rq_broker.domain.representation import to_json
from rq_broker.identity import Authenticator

_FOLDER = Path(__file__).with_name("docs")
_VARY = {"Vary": "Accept"}
"""The answer depends on Accept, which caches must know."""


class PageEndpoints:
    """The endpoints /docs and /openapi.json, which describe all routes, these included."""

    def __init__(
        self, routes: Iterable[Route], authenticators: Sequence[Authenticator] = ()
    ) -> None:
        self._authenticators = authenticators
        self._reference = lru_cache(8)(self._render_reference)
        self._described = [*routes, *self.routes()]
        operations_of(self._described)  # a route that nothing describes stops the start

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/openapi.json", self.openapi),
            Route("/docs", self.docs),
            Route("/docs/api", self.docs_api),
            Route("/docs/{page}", self.docs_page),
        ]

    @cached_property
    def _document(self) -> dict[str, Any]:
        return document(self._described, self._authenticators)

    async def openapi(self, _: Request) -> Response:
        """Return this API as an OpenAPI 3.1 document."""
        return Reply(to_json(self._document))

    async def docs(self, request: Request) -> Response:
        """Return the index of the documentation."""
        return _page(request, "index")

    async def docs_api(self, request: Request) -> Response:
        """Return the reference of this API as a page for people."""
        return html.Page(*self._reference(request.scope["root_path"]))

    def _render_reference(self, root_path: str) -> tuple[str, Mapping[str, str]]:
        """Render the reference, once for each root path: it takes long, and is open to all.

        Returns the page and its headers.
        """
        from rq_broker.api import reference  # noqa: PLC0415 - slow to import, and few ask for it

        return reference.html_page(self._document, root_path), reference.HEADERS

    async def docs_page(self, request: Request) -> Response:
        """Return one page of the documentation."""
        return _page(request, request.path_params["page"])


def _page(request: Request, name: str) -> Response:
    """Answer a page as HTML, or as Markdown if the client asks for it. Raises NotFound."""
    stem = name.removesuffix(".md")
    text = _texts().get(stem)
    if text is None:
        raise NotFound(f"there is no page {stem!r}; the pages are {', '.join(_texts())}")
    accept = request.headers.get("accept", "")
    if name != stem or ("text/markdown" in accept and "text/html" not in accept):
        return Response(text, media_type="text/markdown", headers={**_VARY, **UNSNIFFED})
    return html.Page(_rendered(stem, request.scope["root_path"]), _VARY)


@lru_cache(1)
def _texts() -> dict[str, str]:
    """Return page name → Markdown, for every page in the package."""
    return {path.stem: path.read_text("utf-8") for path in sorted(_FOLDER.glob("*.md"))}


@lru_cache(64)
def _rendered(name: str, root_path: str) -> str:
    """Render a page, once a process: the root path is the same for all requests of a server."""
    from rq_broker.api import markdown  # noqa: PLC0415 - slow to import, and few ask for it

    text = _texts()[name]
    title = f"{markdown.title(text)}: rq-broker"
    return html.page(title, markdown.to_html(text, root_path), root_path)
