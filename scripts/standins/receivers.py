"""Receivers of callbacks on loopback, well-behaved or not; real servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from faulting.listener import listening

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What a receiver does once it has read a request."""


@dataclass
class Receiver:
    """A listening receiver: its port, and the requests it has read."""

    port: int
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    """How many were opened to it."""

    def url(self, host: str = "127.0.0.1", path: str = "/hook", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def read(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1])
            for line in head.splitlines()
            if line.lower().startswith("content-length:")
        )
        self.bodies.append(await reader.readexactly(length))
        self.heads.append(head)


@asynccontextmanager
async def receiver(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Serve on a free loopback port: read every request, then let `behave` respond to it."""
    this = Receiver(0)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this.connections += 1
        while not writer.is_closing():
            await this.read(reader)
            await behave(reader, writer)
            await writer.drain()

    async with listening(converse, tls) as this.port:
        yield this


def sending(raw: bytes, *, close: bool = False) -> Behaviour:
    """Respond to every request with these bytes."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        if close:
            await writer.drain()
            writer.close()

    return behave


def responding(code: int, *headers: str, body: bytes = b"") -> Behaviour:
    """Respond to every request with a well-formed response."""
    lines = [f"HTTP/1.1 {code} Status", f"Content-Length: {len(body)}", *headers, "", ""]
    return sending("\r\n".join(lines).encode() + body)


def endless(opening: bytes, repeated: bytes, pause_s: float = 0.0) -> Behaviour:
    """Send the opening, then `repeated` without end, with a pause of `pause_s` seconds each."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(opening)
        while True:
            writer.write(repeated)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return behave
