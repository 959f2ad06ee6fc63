"""Bytes to an HTTP server and back, where no client library would send them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

TIMEOUT_S = 30.0
"""How long an answer may take before the test fails."""


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a refusal in the envelope; None for a success."""
        envelope = self.json
        assert envelope["ok"] is (self.status < 400)
        code = envelope.get("code")
        assert code is None or isinstance(code, str)
        return code


class RawConnection:
    """A connection that sends pieces of bytes and reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int, host: str = "127.0.0.1", source: str | None = None) -> Self:
        """Connect, from the address `source` if one is given."""
        local = (source, 0) if source else None
        return cls(*await asyncio.open_connection(host, port, local_addr=local))

    async def send(self, *pieces: bytes) -> None:
        """Send each piece in a packet of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.01 if len(pieces) > 1 else 0)

    async def answer(self) -> Answer:
        """Read one answer; skips `100 Continue`."""
        async with asyncio.timeout(TIMEOUT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            line, *fields = head.decode().splitlines()
            status = int(line.split(" ")[1])
            if status == 100:
                return await self.answer()
            headers = dict(field.lower().split(": ", 1) for field in fields if field)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(status, headers, body)

    async def answers(self, count: int) -> list[Answer]:
        """Read some answers."""
        return [await self.answer() for _ in range(count)]

    async def ended(self) -> bool:
        """Wait until the server closes; tells whether it sent nothing more."""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True

    async def close(self) -> None:
        """Close without waiting for the server."""
        self.writer.transport.abort()


@asynccontextmanager
async def connected(
    port: int, *pieces: bytes, source: str | None = None
) -> AsyncIterator[RawConnection]:
    """Yield a connection on which these pieces were sent."""
    connection = await RawConnection.open(port, source=source)
    try:
        await connection.send(*pieces)
        yield connection
    finally:
        await connection.close()


def request(
    method: str = "GET", path: str = "/", *fields: str, body: bytes = b"", chunked: bool = False
) -> bytes:
    """Return the bytes of a request; its body has a length, or is chunked in two pieces."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields]
    if chunked:
        half = len(body) // 2
        pieces = [piece for piece in (body[:half], body[half:]) if piece]
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    elif body:
        lines.append(f"Content-Length: {len(body)}")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body
