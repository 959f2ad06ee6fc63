"""The inbox of `rq-broker dev`: a receiver of callbacks for those who have none yet."""

from __future__ import annotations

import logging
from collections import deque
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api.responses import ok, read

INBOX = "/inbox"
_KEPT = 1000

_log = logging.getLogger(__name__)


class Inbox:
    """The endpoints of /inbox; keeps the newest callbacks in memory."""

    def __init__(self) -> None:
        self._received: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(INBOX, self.received),
            Route(f"{INBOX}/{{rest:path}}", self.receive, methods=["POST"]),
        ]

    async def receive(self, request: Request) -> Response:
        """Keep a callback and say so in the log."""
        path = request.path_params["rest"]
        body = _parsed(await read(request))
        self._received.appendleft(
            {
                "path": path,
                "received": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                "headers": dict(request.headers),
                "body": body,
            }
        )
        _log.info("callback %s: %s", path, _sentence(body))
        return ok({})

    async def received(self, _: Request) -> Response:
        """Show what came in, newest first."""
        return ok(list(self._received))


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


def _sentence(body: Any) -> str:
    match body:
        case {"type": event, "data": {"RequestID": job, "Type": type_, "Hosts": list(hosts)}}:
            return f"{event} for job {job} of type {type_} on {', '.join(map(str, hosts))}"
    return "not a callback of ours"
