"""X-Request-ID: names each request, its answer, and what it changed in the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from random import getrandbits

from starlette.types import ASGIApp, Receive, Scope, Send

from rq_broker.api.responses import with_headers
from rq_broker.domain.correlation import REQUEST_ID, WELL_FORMED_ID


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the ID that a request names, if it is well-formed; otherwise a new one."""
    for name, value in headers:
        if name == REQUEST_ID and WELL_FORMED_ID.fullmatch(text := value.decode("latin-1")):
            return text
    # The kernel's random bytes would cost a system call for what names a request and is no secret.
    return f"{getrandbits(64):016x}"


class RequestIds:
    """Gives each request its ID as `scope["request_id"]`, and its answer the header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request; add the header to the head of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = request_id_of(scope["headers"])
        await self._app(scope, receive, with_headers(send, [(REQUEST_ID, request_id.encode())]))
