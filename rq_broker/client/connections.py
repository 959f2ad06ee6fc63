"""How both clients connect: limits and timeouts."""

from __future__ import annotations

from typing import Any

import httpx

from rq_broker.client.call import Call

TIMEOUT_SECONDS = 10.0
"""How long connecting, sending and each wait for an answer may take; `http` may set another. A call
that asks the API to wait gets that time besides."""
KEEP_ALIVE_SECONDS = 30.0
"""How long an idle connection is kept. Less than `--keep-alive` of the API, 75 s, and than proxies
keep it, 60 s: a call that is sent while the other side closes is lost."""
LIMITS = httpx.Limits(
    max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEP_ALIVE_SECONDS
)
"""Connections of one client; the numbers are those of httpx."""
SILENCE_SECONDS = 60.0
"""How long a stream of events may be silent. The API sends a comment more often; without this limit
a reader whose connection is dead would wait for ever."""

Timeouts = tuple[float | None, float | None, float | None, float | None]
"""Seconds to connect, between two parts of an answer, to send, and for a free connection."""


def timeouts(http: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> Timeouts:
    """Return the timeouts of a call: those of the httpx client, and the time that it may wait."""
    own = http.timeout
    read = None if own.read is None else own.read + call.wait
    return own.connect, read, own.write, own.pool


def stream_timeouts(http: httpx.Client | httpx.AsyncClient) -> Timeouts:
    """Return the timeouts of a stream of events."""
    own = http.timeout
    return own.connect, SILENCE_SECONDS, own.write, own.pool
