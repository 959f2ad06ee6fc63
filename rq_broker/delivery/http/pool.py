"""Posts over connections kept open between callbacks, so that most callbacks need no dial."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rq_broker.delivery.http.connection import Connection, Response

_IDLE_TIMEOUT_S = 4.0
"""Seconds after which an idle connection is closed. Servers close theirs after 5 s or more: were it
longer, requests would be sent into connections that are just being closed."""
_MAX_IDLE = 256
"""Idle connections kept in all. With those in use they must stay below the 1,024 files that a
process may open by default: otherwise dials fail."""


class Pool:
    """Posts requests over idle connections, or over new ones that `dial` makes."""

    def __init__(self, dial: Callable[[str], Awaitable[Connection]]) -> None:
        self._dial = dial
        self._idle: dict[str, list[Connection]] = {}
        """Destination → its idle connections, the newest last: those are used first."""
        self._idle_count = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def post(self, destination: str, request: bytes, deadline: float) -> Response:
        """Send a request to `scheme://host:port` and return its response.

        Raises what `dial` and `Connection.post` raise, and TimeoutError at the deadline, which is
        in seconds of the event loop's clock.
        """
        # 1. Try a connection that is idle. The receiver may have closed it in this very moment.
        connection = self._take_idle(destination)
        response = await self._try_idle(connection, request, deadline) if connection else None
        # 2. Without one, or if it was closed, dial: a second attempt, and the last one.
        if connection is None or response is None:
            async with asyncio.timeout_at(deadline):
                connection = await self._dial_quiet(destination)
            response = await connection.post(request, deadline)
        # 3. Keep the connection for the next request.
        if connection.is_open:
            self._keep_idle(destination, connection)
        return response

    async def _dial_quiet(self, destination: str) -> Connection:
        """Dial, and let the loop read what the receiver sends before it is asked.

        Such bytes close the connection, unless they belong to TLS.
        """
        connection = await self._dial(destination)
        try:
            while connection.is_open and not connection.is_quiet():  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            connection.close()
            raise
        return connection

    async def _try_idle(
        self, connection: Connection, request: bytes, deadline: float
    ) -> Response | None:
        """Post over an idle connection; None if it ended before a byte of a response arrived.

        Then the request may be sent again. After the first byte it may not: the receiver has begun
        to answer.
        """
        try:
            return await connection.post(request, deadline)
        except TimeoutError:
            raise
        except OSError:
            if connection.has_received:
                raise
            return None

    def _take_idle(self, destination: str) -> Connection | None:
        """Take a connection on which nothing arrived since its last response."""
        while connections := self._idle.get(destination):
            connection = connections.pop()
            self._idle_count -= 1
            if not connections:
                del self._idle[destination]
            if connection.is_quiet():
                return connection
            connection.close()
        return None

    def _keep_idle(self, destination: str, connection: Connection) -> None:
        if self._is_closed:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(destination, []).append(connection)
        self._idle_count += 1
        if self._idle_count > _MAX_IDLE:
            self._close_oldest(next(iter(self._idle)))
        if self._expiry is None:
            self._expiry = loop.call_later(_IDLE_TIMEOUT_S / 4, self._close_expired)

    def _close_expired(self) -> None:
        """Close connections idle for ¾ of the timeout; this runs each ¼, so none exceeds it."""
        loop = asyncio.get_running_loop()
        expired_since = loop.time() - _IDLE_TIMEOUT_S * 3 / 4
        for destination, connections in list(self._idle.items()):
            while connections and connections[0].idle_since <= expired_since:
                self._close_oldest(destination)
        self._expiry = (
            loop.call_later(_IDLE_TIMEOUT_S / 4, self._close_expired) if self._idle else None
        )

    def _close_oldest(self, destination: str) -> None:
        """Close the connection that has been idle at a destination for the longest time."""
        connections = self._idle[destination]
        connections.pop(0).close()
        self._idle_count -= 1
        if not connections:
            del self._idle[destination]

    def close(self) -> None:
        """Close all idle connections, and from now on each that becomes idle."""
        self._is_closed = True
        if self._expiry:
            self._expiry.cancel()
        self.close_idle()

    def close_idle(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._close_oldest(next(iter(self._idle)))
