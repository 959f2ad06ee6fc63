"""A TCP proxy in front of one server, whose connections can be stalled, delayed or cut.

A client that is refused a connection knows that its command did not run. These modes make the
harder cases: a command that ran and whose reply is lost, and a peer that is silent.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import Enum

from faulting.listener import Listener

CHUNK = 1 << 16
"""Bytes forwarded at once."""
DELAY_SECONDS = 0.3
"""How long DELAY keeps each chunk. Below a call's timeout, so that calls succeed, slowly."""


class Mode(Enum):
    """What happens to the bytes that pass."""

    PASS = "pass"
    STALL = "stall"
    """Nothing passes and no connection is closed: packets are dropped."""
    DELAY = "delay"
    CUT = "cut"
    """The connection is closed in the middle of the next reply, after the command has run."""
    REFUSE = "refuse"
    """Connections are closed as they are opened."""


class Proxy:
    """Listens on a port of loopback; forwards each connection to the target of that moment.

    Changing `target` does not touch the connections that are open, as a virtual address or a DNS
    name that moves does not.
    """

    def __init__(self, port: int, target: int, delay: float = DELAY_SECONDS) -> None:
        self.port = port
        self.target = target
        self._delay = delay
        self._mode = Mode.PASS
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener = Listener(self._serve)

    async def start(self) -> None:
        """Begin to listen."""
        await self._listener.start(self.port)

    async def stop(self) -> None:
        """Stop to listen, and close every connection."""
        self.set(Mode.PASS)
        await self._listener.close()

    def set(self, mode: Mode) -> None:
        """Treat the bytes of all connections in this mode from now on."""
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    def cut_all(self) -> None:
        """Close every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode is Mode.REFUSE:
            writer.transport.abort()
            return
        try:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, upstream}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, upstream, is_reply=False))
                group.create_task(self._forward(upstream_reader, writer, is_reply=True))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for closing in (writer, upstream):
                closing.transport.abort()
            self._writers -= {writer, upstream}

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        """Forward one direction until it ends; its end ends the other direction too."""
        while chunk := await reader.read(CHUNK):
            if is_reply and self._mode is Mode.CUT:
                writer.write(chunk[: len(chunk) // 2])
                with suppress(OSError):
                    await writer.drain()
                raise ConnectionResetError("cut in the middle of a reply")
            if self._mode is Mode.DELAY:
                await asyncio.sleep(self._delay)
            while self._mode is Mode.STALL:
                await self._changed.wait()
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError("the peer closed")
