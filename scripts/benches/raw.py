"""A minimal HTTP/1.1 client and server, so that the other side is what is measured."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Messages:
    """Splits a stream into messages, each its head and its body."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head, start = self._rest[:end], end + 4
            length = _LENGTH.search(head)
            stop = start + (int(length[1]) if length else 0)
            if len(self._rest) < stop:
                return
            message = head, self._rest[start:stop]
            self._rest = self._rest[stop:]
            yield message


class Serving(asyncio.Protocol):
    """Answers each request with the bytes that `answer` builds from its head and body."""

    def __init__(self, answer: Callable[[bytes, bytes], bytes]) -> None:
        self._answer = answer
        self._messages = Messages()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for head, content in self._messages.feed(data):
            self._transport.write(self._answer(head, content))


def answer(content: bytes = b"") -> bytes:
    """Build a 200."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)


def post(path: str, content: bytes, header: str = "") -> bytes:
    """Build a POST; `header`: one more line of its head."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    if header:
        head += f"{header}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)


class Sending(asyncio.Protocol):
    """One connection; it sends its next request as soon as the last one is answered."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._messages = Messages()
        self._transport: asyncio.Transport
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        for head, content in self._messages.feed(data):
            if head[9:10] != b"2":
                self._end(RuntimeError((head + content).decode()))
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._end()
        else:
            self._transport.write(request)

    def _end(self, error: Exception | None = None) -> None:
        if self.done.done():
            return
        if error:
            self.done.set_exception(error)
        else:
            self.done.set_result(None)
        self._transport.close()


async def send(port: int, requests: Iterator[bytes], connections: int) -> float:
    """Send all requests over `connections` connections; returns the seconds taken."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    connected = [
        (await loop.create_connection(lambda: Sending(requests), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for protocol in connected))
    return time.perf_counter() - started
