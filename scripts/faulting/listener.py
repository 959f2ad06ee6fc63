"""A server of a trial on loopback, all of whose connections end with it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from weakref import WeakSet

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one connection. Its end closes the connection, and so does a loss of it."""
_ACCEPT_TURNS = 3
"""Turns of the event loop from the moment a connection is accepted until `accept` is called."""


class Listener:
    """Accepts connections until it is closed.

    asyncio's own server leaves those open that it has, and those that it is just accepting: their
    sockets outlive the event loop.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._writers: WeakSet[asyncio.StreamWriter] = WeakSet()
        """Of every connection; one that was served may wait for its peer to read the rest."""
        self._is_closed = False

    async def start(
        self, port: int = 0, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> int:
        """Begin to listen; returns the port, which is a free one for 0."""
        self._server = await asyncio.start_server(self._accept, host, port, ssl=tls)
        listening: int = self._server.sockets[0].getsockname()[1]
        return listening

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closed:
            writer.transport.abort()
            return
        self._writers.add(writer)
        task = asyncio.create_task(self._converse(reader, writer))
        self._serving[task] = writer
        task.add_done_callback(self._end)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):  # the peer is gone
            await self._serve(reader, writer)

    def _end(self, task: asyncio.Task[None]) -> None:
        writer = self._serving.pop(task)
        if task.cancelled():  # perhaps before its first step
            writer.transport.abort()
        else:
            writer.close()

    async def close(self) -> None:
        """Stop to listen, and cut every connection. A second call changes nothing."""
        self._is_closed = True
        if self._server:
            self._server.close()
        for _ in range(_ACCEPT_TURNS):
            await asyncio.sleep(0)
        for task in [*self._serving]:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for writer in self._writers:
            with suppress(AttributeError):  # Python 3.11.2, of TLS that has ended
                writer.transport.abort()
        await asyncio.sleep(0)  # aborted transports close on the loop's next turn


@asynccontextmanager
async def listening(
    serve: Serve, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """Listen meanwhile; yields the port."""
    listener = Listener(serve)
    try:
        yield await listener.start(host=host, tls=tls)
    finally:
        await listener.close()
