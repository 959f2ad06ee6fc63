"""A server in this process, with an application that keeps what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from standins import applications
from starlette.applications import Starlette
from starlette.datastructures import Address
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, StatefulLifespan

from rq_broker.api.request_body import read
from rq_broker.api.responses import HANDLERS, ok
from rq_broker.api.server.connections import Connections
from rq_broker.api.server.limits import ConnectionLimits
from rq_broker.api.server.protocol import CONNECTIONS, LimitedProtocol

METHODS = ["GET", "POST", "PUT", "DELETE"]
LIMITS = ConnectionLimits(total=100, per_address=100, reserve=32)


@dataclass
class Served:
    """A running server and the requests that its application had."""

    port: int
    connections: Connections
    server: uvicorn.Server
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Method, path and body of each request whose body was complete."""
    headers: list[dict[str, str]] = field(default_factory=list)
    clients: list[Address | None] = field(default_factory=list)
    """Address of each request's client, a port for each connection."""


Answering = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def serving(
    limits: ConnectionLimits = LIMITS,
    *,
    grace: float = 5.0,
    keep_alive: float = 60.0,
    answering: Answering | None = None,
) -> AsyncIterator[Served]:
    """Serve an application that answers every request, by `answering` if it is given."""
    connections = Connections(limits, grace=grace)

    async def endpoint(request: Request) -> Response:
        body = await read(request)
        served.requests.append((request.method, request.url.path, body))
        served.headers.append(dict(request.headers))
        served.clients.append(request.client)
        return await answering(request) if answering else ok({"path": request.url.path})

    app = Starlette(
        routes=[Route("/{path:path}", endpoint, methods=METHODS)],
        exception_handlers=dict(HANDLERS),
        lifespan=lifespan_of(connections),
    )
    async with running(app, grace=grace, keep_alive=keep_alive) as server:
        served = Served(server.config.port, connections, server)
        yield served


def lifespan_of(connections: Connections) -> StatefulLifespan[Starlette]:
    """Return the lifespan of an application that gives the server its connections."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        yield {CONNECTIONS: connections}

    return lifespan


@asynccontextmanager
async def running(
    app: ASGIApp, *, grace: float = 5.0, keep_alive: float = 60.0
) -> AsyncIterator[uvicorn.Server]:
    """Serve an application on a free port of loopback, as `rq-broker api` does."""
    options: dict[str, Any] = {
        "http": LimitedProtocol,
        "ws": "none",
        "lifespan": "on",
        "timeout_keep_alive": keep_alive,
        "timeout_graceful_shutdown": grace + 5,
    }
    async with applications.serving(app, **options) as server:
        yield server
