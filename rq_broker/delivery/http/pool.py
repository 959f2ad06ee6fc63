"""Keeps idle connections to receivers and posts over them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rq_broker.delivery.http.connection import Answer, Connection

_IDLE_S = 4.0  # servers close idle connections after 5 s or more: never send into a closing one


_MOST_IDLE = 256
"""Idle connections, at most: with those in use fewer than the 1,024 files a process may open."""


class Pool:
    """Posts over a connection kept from before, or over a new one."""

    def __init__(self, dial: Callable[[str], Awaitable[Connection]]) -> None:
        self._dial = dial
        self._kept: dict[str, list[Connection]] = {}
        """Destination → its idle connections, the newest last: those are used first."""
        self._count = 0
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def post(self, destination: str, request: bytes) -> Answer:
        """Send a request to `scheme://host:port`; raises what `dial` and `Connection.post` do."""
        connection = self._take(destination)
        if connection:
            try:
                answer = await connection.post(request)
            except OSError:
                if not connection.is_silent:
                    raise
                connection = None  # it was ending: nothing of this was answered, so once more
        if not connection:
            connection = await self._dial(destination)
            answer = await connection.post(request)
        if connection.is_open:
            self._keep(destination, connection)
        return answer

    def _take(self, destination: str) -> Connection | None:
        while kept := self._kept.get(destination):
            connection = kept.pop()
            self._count -= 1
            if not kept:
                del self._kept[destination]
            if connection.is_open:
                return connection
        return None

    def _keep(self, destination: str, connection: Connection) -> None:
        if self._is_closed:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._kept.setdefault(destination, []).append(connection)
        self._count += 1
        if self._count > _MOST_IDLE:
            self._drop(next(iter(self._kept)))
        if self._sweeping is None:
            self._sweeping = loop.call_later(_IDLE_S / 4, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for long."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - _IDLE_S * 3 / 4
        for destination, kept in list(self._kept.items()):
            while kept and kept[0].idle_since <= oldest:
                self._drop(destination)
        self._sweeping = loop.call_later(_IDLE_S / 4, self._sweep) if self._kept else None

    def _drop(self, destination: str) -> None:
        """Close what has been idle there the longest."""
        kept = self._kept[destination]
        kept.pop(0).close()
        self._count -= 1
        if not kept:
            del self._kept[destination]

    def close(self) -> None:
        """Close what is idle, and from now on what becomes so."""
        self._is_closed = True
        if self._sweeping:
            self._sweeping.cancel()
        while self._kept:
            self._drop(next(iter(self._kept)))
