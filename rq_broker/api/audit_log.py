"""The audit log over HTTP: who changed what of a type, and of what belongs to no type."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api.access import identity_of, scope_of
from rq_broker.api.paths import type_of
from rq_broker.api.responses import Pieces, ok
from rq_broker.api.roles import Scope
from rq_broker.api.views import AuditLineView
from rq_broker.domain.audit_line import WantedLines
from rq_broker.domain.errors import Invalid
from rq_broker.domain.representation import to_json
from rq_broker.domain.validation import one_of, show
from rq_broker.store.broker import Broker
from rq_broker.store.keys import INSTALLATION

JSON_LINES = "application/x-ndjson"
PAGE_LIMIT = 1000
"""Lines in one page at most: some 300 KB."""
DEFAULT_LIMIT = 100
_CONDITIONS = ("who", "verb", "request_id", "http_request_id")
_LINE_ID = re.compile(r"\d{1,16}-\d{1,16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Query:
    wanted: WantedLines
    newest_first: bool
    limit: int | None
    after: str
    as_lines: bool


def _query(request: Request) -> _Query:
    """Parse the query. Raises Invalid for a malformed parameter."""
    parameters = request.query_params
    order = one_of(parameters.get("order", "newest"), "order", ("newest", "oldest"))
    form = one_of(parameters.get("format", "json"), "format", ("json", "lines"))
    after = parameters.get("cursor", "")
    if after and not _LINE_ID.fullmatch(after):
        raise Invalid(f"cursor must be the `next` of a page or the id of a line, not {show(after)}")
    accepts = "format" not in parameters and JSON_LINES in request.headers.get("accept", "")
    return _Query(
        WantedLines(**{name: parameters.get(name, "") for name in _CONDITIONS}),
        order == "newest",
        _limit(parameters.get("limit")),
        after,
        form == "lines" or accepts,
    )


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= PAGE_LIMIT:
        return int(text)
    raise Invalid(f"limit must be a whole number from 1 to {PAGE_LIMIT}, not {show(text)}")


class AuditLogEndpoints:
    """The endpoints /types/{type}/audit and /audit."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/types/{type}/audit", self.audit_log),
            Route("/audit", self.installation_log),
        ]

    async def audit_log(self, request: Request) -> Response:
        """List who changed what of a type, the newest change first."""
        return await self._answer(request, type_of(request))

    async def installation_log(self, request: Request) -> Response:
        """List who changed what belongs to no type, the newest change first."""
        return await self._answer(request, INSTALLATION)

    async def _answer(self, request: Request, type_: str) -> Response:
        query = _own(request, _query(request))
        if query is None:
            return ok([], next=None)
        lines, after = await self._broker.audit_log(
            type_,
            query.wanted,
            after=query.after,
            newest_first=query.newest_first,
            limit=query.limit or (PAGE_LIMIT if query.as_lines else DEFAULT_LIMIT),
        )
        views = [AuditLineView.of(line) for line in lines]
        if not query.as_lines:
            return ok(views, next=after)
        if query.limit is not None or request.method == "HEAD":
            after = None
        chunks = self._chunks(type_, query, views, after)
        return Pieces(chunks, media_type=JSON_LINES)

    async def _chunks(
        self, type_: str, query: _Query, views: Sequence[AuditLineView], after: str | None
    ) -> AsyncIterator[bytes]:
        """Yield the lines of the whole log, a page at a time, so that memory stays bounded."""
        while True:
            yield b"".join(to_json(view) + b"\n" for view in views)
            if after is None:
                return
            lines, after = await self._broker.audit_log(
                type_,
                query.wanted,
                after=after,
                newest_first=query.newest_first,
                limit=PAGE_LIMIT,
            )
            views = [AuditLineView.of(line) for line in lines]


def _own(request: Request, query: _Query) -> _Query | None:
    """Limit a query to what the identity did itself, where it may see no more; None: no line."""
    identity = identity_of(request)
    is_of_a_type = "type" in request.path_params
    if scope_of(request) is not Scope.OWN and (is_of_a_type or identity.types is None):
        return query
    if query.wanted.who not in ("", identity.name):
        return None
    return replace(query, wanted=replace(query.wanted, who=identity.name))
