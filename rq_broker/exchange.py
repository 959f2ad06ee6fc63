"""One connection to a receiver, on which one POST at a time is answered; and those kept for more.

A general HTTP client spends more CPU on a callback than all else a callback needs. What a courier
asks of HTTP is little, so this speaks just that: llhttp (by httptools) reads the answers, nothing
in them is kept but the status and Retry-After, and nothing is inflated, followed or remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MAX_BODY = 16 * 1024
"""Bytes of an answer's body that are read, at most; nothing in them is used."""
_MAX_ANSWER = MAX_BODY + 64 * 1024
"""Bytes of an answer with all its headers and chunk marks."""
_IDLE_S = 4.0  # servers close idle connections after 5 s or more: never send into a closing one


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told of an answer."""

    status: int
    retry_after: str | None


class Garbage(Exception):
    """What came is no answer by HTTP/1.1."""


class Connection(asyncio.Protocol):
    """A connection. While `is_open` it takes a POST, once the one before was answered."""

    def __init__(self) -> None:
        self.is_open = False
        self.is_silent = True
        """Whether nothing has come since the last POST."""
        self.idle_since = 0.0
        self._transport: asyncio.Transport
        self._parser = HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None

    async def post(self, request: bytes) -> Answer:
        """Send a request; raises Garbage, or an OSError when the connection ends early."""
        self.is_silent = True
        self._read = self._body = 0
        self._begin()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it at once."""
        self.is_open = False
        self._transport.abort()

    def _begin(self) -> None:
        self._status = 0
        self._retry_after: str | None = None
        self._is_sized = False

    def _finish(self) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(Answer(self._status, self._retry_after))

    def _fail(self, error: Exception) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)
        self.close()

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Read on, up to the most an answer may be: then the status it had must do."""
        if self._answer is None or self._answer.done():
            self.close()  # nobody asked
            return
        self.is_silent = False
        self._read += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(Garbage(str(error)))
        if self._read > _MAX_ANSWER and not self._answer.done():
            self._cut()

    def _cut(self) -> None:
        if self._status:
            self._finish()
            self.close()
        else:
            self._fail(Garbage("the answer's headers do not end"))

    def connection_lost(self, error: Exception | None) -> None:
        """End; an answer that says no length ends with its connection."""
        self.is_open = False
        if error is None and self._status and not self._is_sized:
            self._finish()
        elif self._answer and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed in mid-answer"))

    # Called by the parser

    def on_message_begin(self) -> None:
        """Start an answer, perhaps an interim one; another behind the last is one too many."""
        if self._answer and self._answer.done():
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the one header that says something to a courier."""
        field = name.lower()
        if field in (b"content-length", b"transfer-encoding"):
            self._is_sized = True
        elif field == b"retry-after" and self._retry_after is None:
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Know the status; 1xx announces another."""
        status = self._parser.get_status_code()
        self._status = status if status >= 200 else 0

    def on_body(self, data: bytes) -> None:
        """Count."""
        self._body += len(data)
        if self._body > MAX_BODY:
            self._finish()
            self.close()

    def on_message_complete(self) -> None:
        """Answer whoever asked; after an interim answer, go on."""
        if not self._status:
            self._begin()
            return
        self._finish()
        if not self._parser.should_keep_alive():
            self.close()


class Pool:
    """Posts over a connection kept from before, or over a new one."""

    def __init__(self, dial: Callable[[str], Awaitable[Connection]]) -> None:
        self._dial = dial
        self._kept: dict[str, list[Connection]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    async def post(self, destination: str, request: bytes) -> Answer:
        """Send a request to `scheme://host:port`; raises what `dial` and `Connection.post` do."""
        while connection := self._take(destination):
            try:
                answer = await connection.post(request)
            except OSError:
                if connection.is_silent:  # it had ended before: nothing of this was read
                    continue
                raise
            break
        else:
            connection = await self._dial(destination)
            answer = await connection.post(request)
        if connection.is_open:
            self._keep(destination, connection)
        return answer

    def _take(self, destination: str) -> Connection | None:
        kept = self._kept.get(destination)
        while kept:
            connection = kept.pop()
            if connection.is_open:
                return connection
        return None

    def _keep(self, destination: str, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._kept.setdefault(destination, []).append(connection)
        if self._sweeping is None:
            self._sweeping = loop.call_later(_IDLE_S / 4, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for long; the newest of a destination are used first."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - _IDLE_S * 3 / 4
        for destination, kept in list(self._kept.items()):
            left = [each for each in kept if each.is_open and each.idle_since > oldest]
            for connection in kept:
                if connection not in left:
                    connection.close()
            if left:
                self._kept[destination] = left
            else:
                del self._kept[destination]
        again = loop.call_later(_IDLE_S / 4, self._sweep) if self._kept else None
        self._sweeping = again

    def close(self) -> None:
        """Close what is idle."""
        if self._sweeping:
            self._sweeping.cancel()
        for kept in self._kept.values():
            for connection in kept:
                connection.close()
        self._kept.clear()
