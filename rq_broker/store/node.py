"""Calls of one Redis server, over a few shared connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
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
        self,
        client: Redis,
        timeout: float,
        on_retired: Callable[[], None] = lambda: None,
        on_change: Callable[[Sequence[str] | None], None] = lambda _: None,
        on_dial: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the client that dials; see Multiplexer for the rest."""
        self._client = client
        self._make_tracking = partial(Multiplexer, client, timeout, on_retired, on_change)
        self._tracking: Multiplexer | None = None
        """Reads keys whose changes the server then tells: only where somebody wants to know."""
        self._multiplexers = [
            Multiplexer(client, timeout, on_retired, on_dial=on_dial) for _ in range(MULTIPLEXERS)
        ]

    @property
    def is_busy(self) -> bool:
        """Whether calls are unanswered."""
        busy = any(multiplexer.unanswered for multiplexer in self._multiplexers)
        return busy or (self._tracking is not None and bool(self._tracking.unanswered))

    def call(self, *command: Any) -> Awaitable[Any]:
        """Send a command, see Multiplexer.call."""
        return self._next().call(*command)

    def write(self, least: int, *command: Any) -> Awaitable[Any]:
        """Send a command that replicas must acknowledge, see Multiplexer.write."""
        return self._next().write(least, *command)

    def tracked(self, *command: Any) -> Awaitable[Any]:
        """Send a command that reads a key, and be told once it changes; see Multiplexer."""
        if self._tracking is None:
            self._tracking = self._make_tracking()
        return self._tracking.call(*command)

    async def stop_tracking(self) -> None:
        """Close the connection of `tracked`."""
        tracking, self._tracking = self._tracking, None
        if tracking:
            await tracking.aclose()

    def _next(self) -> Multiplexer:
        """Return the connection for the next call: a busy one, unless a batch waits there."""
        for multiplexer in self._multiplexers:
            if multiplexer.unanswered and multiplexer.unsent < BATCH:
                return multiplexer
        return min(self._multiplexers, key=lambda multiplexer: multiplexer.unanswered)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.stop_tracking()
        for multiplexer in self._multiplexers:
            await multiplexer.aclose()
        with suppress(exceptions.RedisError):
            await self._client.aclose()
