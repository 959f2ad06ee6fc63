"""The inbox of `rq-broker dev`: receives callbacks while there is no receiver yet."""

from __future__ import annotations

import logging
from collections import deque
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api.request_body import read
from rq_broker.api.responses import ok
from rq_broker.api.views import ReceivedView

INBOX = "/inbox"
_CAPACITY = 1000
"""Callbacks in memory. When more arrive the oldest are dropped."""
_MOST_BYTES = 16 * 2**20
"""Bytes of all callbacks in memory, as they arrived. A body is never kept as Python objects, which
take some 25 times its length."""

_log = logging.getLogger(__name__)


class _Job(msgspec.Struct):
    """What a line of the log says of a job."""

    job: str = msgspec.field(name="RequestID")
    type: str = msgspec.field(name="Type")
    hosts: list[str] = msgspec.field(name="Hosts")


class _Callback(msgspec.Struct):
    type: str
    data: _Job


class InboxEndpoints:
    """The endpoints below /inbox. It keeps the newest callbacks in memory."""

    def __init__(self) -> None:
        self._received: deque[tuple[ReceivedView, int]] = deque()
        self._bytes = 0

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(INBOX, self.received),
            Route(f"{INBOX}/{{rest:path}}", self.receive, methods=["POST"]),
        ]

    async def receive(self, request: Request) -> Response:
        """Store a callback and log it."""
        path = request.path_params["rest"]
        body = _json(await read(request))
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        headers = dict(request.headers)
        size = len(path) + len(body) + sum(len(name) + len(headers[name]) for name in headers)
        self._keep(ReceivedView(path, now, headers, msgspec.Raw(body)), size)
        _log.info("callback %s: %s", path, _summary(body))
        return ok({})

    async def received(self, _: Request) -> Response:
        """List the callbacks received, the newest first."""
        return ok([view for view, _size in self._received])

    def _keep(self, view: ReceivedView, size: int) -> None:
        """Keep a callback, and drop the oldest ones until all fit."""
        self._received.appendleft((view, size))
        self._bytes += size
        while len(self._received) > _CAPACITY or self._bytes > _MOST_BYTES:
            _, dropped = self._received.pop()
            self._bytes -= dropped


def _json(body: bytes) -> bytes:
    """Return a body if it is JSON in UTF-8, else a JSON string of its text."""
    text = body.decode(errors="replace").encode()
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.json.encode(text.decode())
    return text


def _summary(body: bytes) -> str:
    try:
        callback = msgspec.json.decode(body, type=_Callback)
    except (msgspec.DecodeError, RecursionError):
        return "not a callback of rq-broker"
    job = callback.data
    return f"{callback.type} for job {job.job} of type {job.type} on {', '.join(job.hosts)}"
