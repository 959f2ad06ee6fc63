"""One connection to a receiver, on which one POST at a time is answered; and those kept for more.

A general HTTP client spends more CPU on a callback than all else a callback needs. What a courier
asks of HTTP is little, so this speaks just that: llhttp (by httptools) reads the answers, nothing
in them is kept but the status and Retry-After, and nothing is inflated, followed or remembered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MAX_BODY = 16 * 1024
"""Bytes of an answer's body that are read, at most; nothing in them is used."""
_MAX_ANSWER = MAX_BODY + 64 * 1024
"""Bytes of an answer with all its headers and chunk marks."""


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
        self._begin()

    async def post(self, request: bytes) -> Answer:
        """Send a request; raises Garbage, or an OSError when the connection ends early."""
        if not self.is_open:
            raise ConnectionResetError("ended before the request")
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

    def _end(self, error: Exception | None) -> None:
        if error is None and self._status and not self._is_sized:
            self._finish()
        self._fail(error or ConnectionResetError("closed in mid-answer"))

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Read on, up to the most an answer may be; then the status it had must do."""
        if self._answer is None or self._answer.done():
            self.close()  # nobody asked
            return
        self.is_silent = False
        room = _MAX_ANSWER - self._read
        self._read += len(data)
        try:
            self._parser.feed_data(data[:room])
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(Garbage(str(error)))
        if self._read > _MAX_ANSWER:
            self._cut()

    def _cut(self) -> None:
        if self._status:
            self._finish()
            self.close()
        else:
            self._fail(Garbage("the answer's headers do not end"))

    def eof_received(self) -> None:
        """End; an answer that says no length ends with its connection.

        Here and not when the connection is lost, for which the loop may first want all of the
        request written to one who reads no more.
        """
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """End, by an error or by a loop that tells the end of TLS only so."""
        self._end(error)

    # Called by the parser

    def on_message_begin(self) -> None:
        """Start an answer, perhaps an interim one; another behind the last is one too many."""
        if self._answer and self._answer.done():
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the one header that says something to a courier."""
        field = name.lower()
        if field == b"content-length":
            self._is_sized = True
        elif field == b"transfer-encoding":  # any other last coding ends with its connection
            self._is_sized = value.lower().rpartition(b",")[2].strip() == b"chunked"
        elif field == b"retry-after" and self._retry_after is None and not self._status:
            self._retry_after = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """Know the status; 1xx announces another."""
        status = self._parser.get_status_code()
        self._status = status if status >= 200 else 0
        if status < 100:
            self._fail(Garbage("a status below 100"))

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
        if not self._parser.should_keep_alive() or self._transport.get_write_buffer_size():
            self.close()  # as asked, or because who answers early need not read the rest
