"""The inbox of `rq-broker dev`: receives callbacks while there is no receiver yet."""

from __future__ import annotations

import logging
from collections import deque
from datetime import UTC, datetime
from typing import Any

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

_log = logging.getLogger(__name__)


class InboxEndpoints:
    """The endpoints below /inbox. It keeps the newest callbacks in memory."""

    def __init__(self) -> None:
        self._received: deque[ReceivedView] = deque(maxlen=_CAPACITY)

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(INBOX, self.received),
            Route(f"{INBOX}/{{rest:path}}", self.receive, methods=["POST"]),
        ]

    async def receive(self, request: Request) -> Response:
        """Store a callback and log it."""
        path = request.path_params["rest"]
        body = _parsed(await read(request))
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._received.appendleft(ReceivedView(path, now, dict(request.headers), body))
        _log.info("callback %s: %s", path, _summary(body))
        return ok({})

    async def received(self, _: Request) -> Response:
        """List the callbacks received, the newest first."""
        return ok(list(self._received))


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode(errors="replace")


def _summary(body: Any) -> str:
    match body:
        case {"type": event, "data": {"RequestID": job, "Type": type_, "Hosts": list(hosts)}}:
            return f"{event} for job {job} of type {type_} on {', '.join(map(str, hosts))}"
    return "not a callback of rq-broker"
