"""Answers: the envelope, and the table of which exception becomes which refusal."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Match
from starlette.types import Message, Send

from rq_broker.api.views import ErrorView
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job
from rq_broker.domain.representation import JobView, to_json

_JSON = (b"content-type", b"application/json")
UNSNIFFED: Mapping[str, str] = {"x-content-type-options": "nosniff"}
"""Header of every answer: a browser takes it for what its content type says, and for no script."""
PRIVATE: Mapping[str, str] = {**UNSNIFFED, "cache-control": "no-store"}
"""Headers of every answer that may hold what only its reader is to see: nothing keeps a copy."""
_PRIVATE = tuple((name.encode(), value.encode()) for name, value in PRIVATE.items())
_log = logging.getLogger(__name__)


class Reply(Response):
    """A JSON answer from encoded bytes. It skips the base class's passes over the headers."""

    def __init__(
        self, body: bytes, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [_JSON, (b"content-length", b"%d" % len(body)), *_PRIVATE, *headers]


class Pieces(StreamingResponse):
    """An answer that is sent as its pieces are read.

    Where Redis does not serve a later one it breaks off: the server closes the connection, so that
    nobody takes it for whole.
    """

    async def stream_response(self, send: Send) -> None:
        """Send the pieces, and say that they are complete if they are."""
        try:
            await super().stream_response(send)
        except errors.Unavailable as error:
            _log.warning("an answer breaks off: %s", error)


Headers = Iterable[tuple[bytes, bytes]]


def ok(data: Any, headers: Headers = (), **keys: Any) -> Reply:
    """Answer 200 with `data` in the envelope; `keys` stand beside it."""
    return Reply(to_json({"data": data, **keys, "ok": True}), headers=headers)


def created(data: Any, location: str, headers: Headers = (), **keys: Any) -> Reply:
    """Answer 201 with `data` in the envelope, and the path of what was created."""
    body = to_json({"data": data, **keys, "ok": True})
    return Reply(body, HTTPStatus.CREATED, [(b"location", location.encode()), *headers])


def failed(error: errors.BrokerError, headers: Iterable[tuple[bytes, bytes]] = ()) -> Reply:
    """Answer a refusal with the status, the code and the details of the error."""
    view = ErrorView(str(error), error.code)
    if error.details:
        view = view.with_fields(**{key: shown(value) for key, value in error.details.items()})
    return Reply(to_json(view), error.status, headers)


def warned(warning: str | None) -> dict[str, Any]:
    """Return the key of the envelope that has a warning; none for no warning."""
    return {"Warning": warning} if warning else {}


def shown(value: object) -> object:
    """Return a value as answers show it: a job as its view."""
    return JobView.of(value) if isinstance(value, Job) else value


# Exceptions


def with_headers(send: Send, headers: Sequence[tuple[bytes, bytes]]) -> Send:
    """Return a `send` that adds headers to the answer, whoever makes it."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return send_with_headers


def refused(error: errors.BrokerError, headers: Headers = ()) -> Reply:
    """Answer an error that was raised: `failed`, with Retry-After, or with a line in the log."""
    if error.retry_after is not None:
        return failed(error, [(b"retry-after", b"%d" % error.retry_after), *headers])
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("internal error", exc_info=error)
    return failed(error, headers)


async def _broker_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, errors.BrokerError)
    return refused(error)


async def _routing_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = ", ".join(_methods_at(request))
        sentence = f"{request.method} is not allowed on this path; allowed are {methods}"
        return failed(errors.MethodNotAllowed(sentence), [(b"allow", methods.encode())])
    if error.status_code == HTTPStatus.NOT_FOUND:
        return failed(errors.NotFound("there is no such path; see /docs/api"))
    return failed(errors.Invalid(error.detail))


def _methods_at(request: Request) -> list[str]:
    """List the methods of every route at this path; Starlette's Allow names those of one route."""
    routes = request.app.routes
    return sorted(
        {
            method
            for route in routes
            if route.matches(request.scope)[0] is Match.PARTIAL
            for method in route.methods
        }
    )


async def _disconnect(_: Request, __: Exception) -> Response:
    return failed(errors.Unreadable("the client disconnected before the body was complete"))


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    errors.BrokerError: _broker_error,
    HTTPException: _routing_error,
    ClientDisconnect: _disconnect,
}
"""Exception → the handler that answers it."""
