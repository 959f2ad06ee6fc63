"""Calls of one Redis server, over a few shared connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from redis import exceptions
from redis.asyncio import Redis

from rq_broker.store.multiplexer import BATCH, Multiplexer

MULTIPLEXERS = 2
"""Connections shared by all calls: Redis executes the calls of one connection while calls collect
for the other. With one connection Redis would be idle meanwhile; with more, each write would have
fewer calls."""


class Node:
    """One server: a standalone one, the primary that Sentinel names, or a node of a cluster."""

    def __init__(
        self, client: Redis, timeout: float, on_retired: Callable[[], None] = lambda: None
    ) -> None:
        """Take the client that dials; see Multiplexer for the rest."""
        self._client = client
        self._multiplexers = [Multiplexer(client, timeout, on_retired) for _ in range(MULTIPLEXERS)]

    @property
    def is_busy(self) -> bool:
        """Whether calls are unanswered."""
        return any(multiplexer.unanswered for multiplexer in self._multiplexers)

    def call(self, *command: Any) -> Awaitable[Any]:
        """Send a command, see Multiplexer.call."""
        return self._next().call(*command)

    def write(self, least: int, *command: Any) -> Awaitable[Any]:
        """Send a command that replicas must acknowledge, see Multiplexer.write."""
        return self._next().write(least, *command)

    def _next(self) -> Multiplexer:
        """Return the connection for the next call: a busy one, unless a batch waits there."""
        for multiplexer in self._multiplexers:
            if multiplexer.unanswered and multiplexer.unsent < BATCH:
                return multiplexer
        return min(self._multiplexers, key=lambda multiplexer: multiplexer.unanswered)

    async def aclose(self) -> None:
        """Close the connections."""
        with suppress(exceptions.RedisError):
            await self._client.aclose()
