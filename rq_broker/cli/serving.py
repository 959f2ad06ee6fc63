"""How `api` and `dev` serve HTTP: uvicorn's options, and the connections of one process."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.types import StatefulLifespan

from rq_broker.api.browser_guard import BrowserRules
from rq_broker.api.rate_limit import RateRules
from rq_broker.api.server.connections import Connections
from rq_broker.api.server.limits import ConnectionLimits, connection_limits
from rq_broker.api.server.protocol import CONNECTIONS, LimitedProtocol
from rq_broker.cli.process import freeze_garbage, raised_descriptor_limit
from rq_broker.domain.errors import Invalid
from rq_broker.settings import Settings

_CUT_SECONDS = 5
"""Seconds from the end of the grace, when connections are cut, to the end of their requests, which
uvicorn then cancels."""

_STARTING_SECONDS = 30
"""Seconds for which a worker may not answer its supervisor before it is killed and replaced. With
uvicorn's 5 s, workers on a machine that is busy are killed while they still import, for ever."""

_log = logging.getLogger(__name__)


def server_options(settings: Settings) -> dict[str, Any]:
    """Return the options of uvicorn. Raises Invalid if the limits do not fit the descriptors."""
    return {
        "host": settings.host,
        "port": settings.port,
        "http": LimitedProtocol,
        "ws": "none",
        "root_path": settings.root_path,
        "proxy_headers": bool(settings.forwarded_allow_ips),
        "forwarded_allow_ips": list(settings.forwarded_allow_ips),
        "server_header": False,
        "lifespan": "on",
        "access_log": False,
        "log_config": None,  # its lines go where ours go
        "backlog": _limits(settings).reserve,
        "timeout_keep_alive": settings.keep_alive,
        "timeout_graceful_shutdown": settings.grace + _CUT_SECONDS,
        "timeout_worker_healthcheck": _STARTING_SECONDS,
    }


def check_port(settings: Settings) -> None:
    """Raise Invalid if the address to serve on cannot be bound, before anything is started."""
    at = f"{settings.host}:{settings.port}"
    try:
        addresses = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        for family, kind, _, _, address in addresses:
            with socket.socket(family, kind) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does
                listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Invalid(
                f"{at} is taken by another process: --port chooses another port"
            ) from None
        raise Invalid(f"{at} cannot be served on: {error.strerror}") from None


def browser_rules(settings: Settings) -> BrowserRules:
    """Return what the pages of browsers may do. Raises Invalid for an origin that is none."""
    return BrowserRules.of(settings.hosts, settings.cors_origins)


def rate_rules(settings: Settings) -> RateRules:
    """Return how many requests a second are served to whom, and how many may wait."""
    return RateRules(
        settings.rate_limit,
        settings.owner_rate_limit,
        settings.admin_rate_limit,
        settings.wait_limit,
    )


def lifespan(
    settings: Settings, on_end: Callable[[], object] = lambda: None
) -> StatefulLifespan[Starlette]:
    """Return the lifespan of the application, which gives the server its connections.

    `on_end`: see Connections.
    """

    @asynccontextmanager
    async def state(_: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        limits = _limits(settings)
        freeze_garbage()
        _log.info(
            "up to %d connections are served, %d from one address", limits.total, limits.per_address
        )
        yield {CONNECTIONS: Connections(limits, grace=settings.grace, on_end=on_end)}

    return state


def _limits(settings: Settings) -> ConnectionLimits:
    return connection_limits(
        raised_descriptor_limit(), settings.max_connections, settings.max_connections_per_address
    )
