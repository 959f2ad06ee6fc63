"""One connection to a receiver, which carries one POST at a time.

A general HTTP client spends more CPU on a callback than everything else that a callback needs. This
one does only what the courier asks: llhttp (through httptools) parses the response, of which the
status and Retry-After are kept; nothing is decompressed, followed or remembered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from rq_broker.delivery.http.errors import MalformedResponse

MAX_BODY = 16 * 1024
"""Bytes of a response body that are read before the connection is closed. An ordinary body fits, so
that its connection is used again; without a limit a receiver could keep us reading for ever."""
_MAX_RESPONSE = MAX_BODY + 64 * 1024
"""Bytes of a whole response: the body, and 64 KiB for headers, chunk sizes and interim responses.
Without a limit a receiver could fill our memory with a header that does not end."""


@dataclass(frozen=True, slots=True)
class Response:
    """The parts of a response that the courier needs."""

    status: int
    retry_after: str | None
    """The first Retry-After header as it was sent."""


class Connection(asyncio.Protocol):
    """A connection: while `is_open`, and once the last POST was answered, it takes another."""

    def __init__(self) -> None:
        self.is_open = False
        self.has_received = False
        """Whether any byte arrived since the last POST was begun."""
        self.idle_since = 0.0
        """When the pool took it back, in seconds of the event loop's clock."""
        self._transport: asyncio.Transport
        self._parser = HttpResponseParser(self)
        self._response: asyncio.Future[Response] | None = None
        self._reset()

    async def post(self, request: bytes) -> Response:
        """Send a whole request and wait for its response.

        The response may be set before all of its body was read, or all of the request written.
        Whatever is raised, cancellation included, closes the connection.

        Raises:
            MalformedResponse: what arrived is not a response.
            OSError: the connection ended before the response did.
        """
        if not self.is_open:
            raise ConnectionResetError("closed before the request was sent")
        self.has_received = False
        self._bytes_read = self._body_bytes = 0
        self._reset()
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._response
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection at once; what is not written yet is dropped."""
        self.is_open = False
        self._transport.abort()

    def _reset(self) -> None:
        """Forget the headers of an earlier response or of an interim one."""
        self._status = 0  # until the headers of the final response are complete
        self._retry_after: str | None = None
        self._has_length = False

    def _complete(self) -> None:
        if self._response and not self._response.done():
            self._response.set_result(Response(self._status, self._retry_after))

    def _fail(self, error: Exception) -> None:
        if self._response and not self._response.done():
            self._response.set_exception(error)
        self.close()

    def _end(self, error: Exception | None) -> None:
        """Handle the end of the stream, which also ends a response that names no length."""
        if error is None and self._status and not self._has_length:
            self._complete()
        self._fail(error or ConnectionResetError("closed before the response was complete"))

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, up to the limit of a whole response."""
        if self._response is None or self._response.done():
            self.close()  # nothing was asked, so this can be no response
            return
        self.has_received = True
        budget = _MAX_RESPONSE - self._bytes_read
        self._bytes_read += len(data)
        try:
            self._parser.feed_data(data[:budget])
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(MalformedResponse(str(error)))
        if self._bytes_read > _MAX_RESPONSE:
            self._cut_off()

    def _cut_off(self) -> None:
        """Stop reading a response that is too long: its status counts, if it has one yet."""
        if self._status:
            self._complete()
            self.close()
        else:
            self._fail(MalformedResponse("the response's headers are too long"))

    def eof_received(self) -> None:
        """Handle the end of the stream.

        Waiting for `connection_lost` instead would take until the whole request is written, for
        ever at a receiver that no longer reads.
        """
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Handle an error, or the end of a TLS stream, which some loops report only here."""
        self._end(error)

    # Called by the parser

    def on_message_begin(self) -> None:
        """Close the connection if a response begins that nobody asked for."""
        if self._response and self._response.done():
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep Retry-After, and note whether the response says where it ends."""
        field = name.lower()
        if field == b"content-length":
            self._has_length = True
        elif field == b"transfer-encoding":
            # Any other last coding than chunked ends with the connection.
            self._has_length = value.lower().rpartition(b",")[2].strip() == b"chunked"
        elif field == b"retry-after" and self._retry_after is None and not self._status:
            self._retry_after = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """Take the status, unless it is an interim one (1xx)."""
        status = self._parser.get_status_code()
        self._status = status if status >= 200 else 0
        if status < 100:
            self._fail(MalformedResponse("the status is below 100"))

    def on_body(self, data: bytes) -> None:
        """Count the body's bytes; past the limit take the response as complete."""
        self._body_bytes += len(data)
        if self._body_bytes > MAX_BODY:
            self._complete()
            self.close()

    def on_message_complete(self) -> None:
        """Set the response; after an interim one wait for the final one."""
        if not self._status:
            self._reset()
            return
        self._complete()
        has_unsent_bytes = self._transport.get_write_buffer_size() > 0
        if has_unsent_bytes or not self._parser.should_keep_alive():
            self.close()  # a receiver that answers early may never read the rest
