"""What every answer looks like, how a body is read, and which exception becomes which answer."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ExceptionHandler

from rq_broker.domain import errors
from rq_broker.domain import exact_json as jsontext

BODY_LIMIT = 1 << 20
"""Largest body that is read, in bytes."""

_JSON = (b"content-type", b"application/json")
_RETRY_SOON = (b"retry-after", b"1")
_SURROGATE = re.compile("[\ud800-\udfff]")

_log = logging.getLogger(__name__)


def rendered(value: Any) -> bytes:
    """Render an answer as JSON; bytes in Redis that are not UTF-8 come out as U+FFFD."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return orjson.dumps(_replaced(value))


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_replaced(key): _replaced(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner) for inner in value]
    return value


class Reply(Response):
    """A JSON answer from ready bytes, without the base class's passes over the headers."""

    def __init__(
        self, body: bytes, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [_JSON, (b"content-length", b"%d" % len(body)), *headers]


def ok(
    data: Any, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = (), **more: Any
) -> Reply:
    """Answer that it went well; `more` stands beside data in the envelope."""
    return Reply(rendered({"data": data, **more, "ok": True}), status, headers)


def failed(error: errors.BrokerError, headers: Iterable[tuple[bytes, bytes]] = ()) -> Reply:
    """Answer what was refused and why."""
    envelope = {"error": str(error), "code": error.code, "ok": False}
    return Reply(rendered(envelope), error.status, headers)


async def read(request: Request) -> bytes:
    """Read the body as it streams in, never more than the limit, whatever its length claims."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise errors.TooLarge(f"the body is larger than {BODY_LIMIT} bytes")
    return body


async def read_json(request: Request) -> Any:
    """Read the body as JSON that kept every digit."""
    body = await read(request)
    if not body:
        raise errors.Unreadable("the body is empty; it must be a JSON object")
    return jsontext.loads(body)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, errors.BrokerError)
    if isinstance(error, errors.Unavailable):
        return failed(error, [_RETRY_SOON])
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("refused as our fault", exc_info=error)
    return failed(error)


async def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_allowed(request))
        sentence = f"{request.method} is not allowed here; allowed are {allowed}"
        return failed(errors.MethodNotAllowed(sentence), [(b"allow", allowed.encode())])
    if error.status_code == HTTPStatus.NOT_FOUND:
        return failed(errors.NotFound("nothing lives at this path; see /docs"))
    return failed(errors.Invalid(error.detail))


def _allowed(request: Request) -> list[str]:
    """List the methods of every route at this path: Starlette's own Allow names one route's."""
    routes = request.app.routes
    return sorted(
        method
        for route in routes
        if route.matches(request.scope)[0] is Match.PARTIAL
        for method in route.methods
    )


async def _gone(_: Request, __: Exception) -> Response:
    return failed(errors.Unreadable("the client went away in the middle of its body"))


async def _fault(_: Request, __: Exception) -> Response:
    # Starlette raises the exception again behind this answer, and so the server logs it.
    return failed(errors.Internal("a fault of ours; the server's log has the details"))


HANDLERS: Mapping[type[Exception], ExceptionHandler] = {
    errors.BrokerError: _refused,
    HTTPException: _routing,
    ClientDisconnect: _gone,
    Exception: _fault,
}
"""The one table of what an exception becomes."""
