"""One connection to a receiver, which carries one POST at a time and costs little CPU.

llhttp (through httptools) parses the response, of which the status and Retry-After are kept. The
status counts as soon as its line is complete. The rest only decides whether the connection is used
again: what is malformed, cut off, too long or too slow closes it.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from rq_broker.delivery.http.errors import MalformedResponse
from rq_broker.delivery.http.lenient_head import LenientHead

MAX_BODY = 16 * 1024
"""Bytes of a response body that are read before the connection is closed. An ordinary body fits, so
that its connection is used again; without a limit a receiver could keep us reading for ever."""
_MAX_RESPONSE = MAX_BODY + 64 * 1024
"""Bytes of a whole response: the body, and 64 KiB for headers, chunk sizes and interim responses.
Without a limit a receiver could fill our memory with a header that does not end."""
_BODY_TIMEOUT_S = 1.0
"""Seconds that the rest of a response may take once its head is complete. Its status is known by
then; a longer wait holds a slot, a shorter one gives up connections that could be used again."""


@dataclass(frozen=True, slots=True)
class Response:
    """The parts of a response that the courier needs."""

    status: int
    retry_after: str | None
    """The first Retry-After header as it was sent."""


class Connection(asyncio.Protocol):
    """A connection: while `is_open`, and once the last POST was answered, it takes another."""

    def __init__(self, on_tls_end: Callable[[ssl.SSLObject], object] = lambda _: None) -> None:
        """Be not open yet. `on_tls_end` is called with what a TLS connection leaves at its end."""
        self._on_tls_end = on_tls_end
        self._tls: ssl.SSLObject | None = None
        self.is_open = False
        self.idle_since = 0.0
        """When the pool took it back, in seconds of the event loop's clock."""
        self._transport: asyncio.Transport
        self._unread = select.poll()
        self._parser = HttpResponseParser(self)
        self._response: asyncio.Future[Response] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._has_spoken_unasked = False
        self._begin()

    def is_quiet(self) -> bool:
        """Whether the receiver has sent nothing, and not closed, since the last response.

        Bytes that it sent before it was asked would be taken for the response to the next POST, so
        the event loop's view is not enough: they may have arrived since it last looked.
        """
        return self.is_open and not self._unread.poll(0)

    async def post(self, request: bytes, deadline: float) -> Response:
        """Send a whole request and wait for its response.

        The response may be set before all of its body was read, or all of the request written.
        Whatever is raised, cancellation included, closes the connection.

        Args:
            request: Head and body.
            deadline: When to stop waiting, in seconds of the event loop's clock.

        Raises:
            MalformedResponse: What arrived is not a response.
            TimeoutError: No status arrived by the deadline.
            OSError: The connection ended before a status arrived.
        """
        if self._has_spoken_unasked:
            raise MalformedResponse("the receiver sent bytes before it was asked")
        if not self.is_open:
            raise ConnectionResetError("closed before the request was sent")
        self._begin()
        loop = asyncio.get_running_loop()
        self._response = loop.create_future()
        self._deadline = loop.call_at(deadline, self._expire)
        self._transport.write(request)
        try:
            return await self._response
        except BaseException:
            self.close()
            raise
        finally:
            self._deadline.cancel()
            self._response = None  # its error refers to this frame, and so to the request

    def close(self) -> None:
        """Close the connection at once; what is not written yet is dropped."""
        self.is_open = False
        self._transport.abort()

    def _begin(self) -> None:
        """Forget all of an earlier response."""
        self.has_received = False
        """Whether any byte arrived since the last POST was begun."""
        self._is_waiting_for_rest = False
        self._bytes_read = self._body_bytes = 0
        self._head: LenientHead | None = None  # what arrived, while the head is not complete
        self._error: MalformedResponse | None = None  # why strict parsing ended
        self._reset()

    def _reset(self) -> None:
        """Forget the headers of an earlier response or of an interim one."""
        self._status = 0  # until the headers of the final response are complete
        self._retry_after: str | None = None

    def _complete(self) -> None:
        if self._response and not self._response.done():
            self._response.set_result(Response(self._status, self._retry_after))

    def _fail(self, error: Exception) -> None:
        if self._response and not self._response.done():
            self._response.set_exception(error)
        self.close()

    def _end(self, error: Exception) -> None:
        """Read no more: the status counts, if its line is complete, else the error does."""
        if not self._status and self._head:
            self._status, self._retry_after = self._head.status, self._head.retry_after
        if self._status:
            self._complete()
            self.close()
        else:
            self._fail(self._error or error)

    def _expire(self) -> None:
        self._end(TimeoutError("no status arrived in time"))

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._unread.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._tls = transport.get_extra_info("ssl_object")
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, up to the limit of a whole response."""
        if self._response is None or self._response.done():
            self._has_spoken_unasked = True
            self.close()  # nothing was asked, so this can be no response
            return
        self.has_received = True
        budget = _MAX_RESPONSE - self._bytes_read
        self._bytes_read += len(data)
        self._parse(data[:budget])
        if self._response.done():
            return
        if self._bytes_read > _MAX_RESPONSE:
            self._end(MalformedResponse("the response's headers are too long"))
        elif self._status:
            self._wait_for_rest()

    def _parse(self, data: bytes) -> None:
        """Parse strictly; from the first malformed byte on, read only the head, leniently."""
        if self._error is None:
            try:
                self._parser.feed_data(data)
            except (HttpParserError, HttpParserUpgrade) as error:
                self._error = MalformedResponse(str(error))
        if self._response and self._response.done():
            if self._error:
                self.close()
        elif self._status:
            if self._error:
                self._end(self._error)
        else:
            self._read_leniently(data)

    def _read_leniently(self, data: bytes) -> None:
        """Keep what arrived of a head, in case its rest is malformed or never comes."""
        self._head = self._head or LenientHead()
        is_complete = self._head.feed(data)
        if self._error and (is_complete or self._head.is_malformed):
            self._end(self._error)

    def _wait_for_rest(self) -> None:
        """Give the rest of a response, whose status is known, a time of its own."""
        if self._deadline and not self._is_waiting_for_rest:
            self._is_waiting_for_rest = True
            loop = asyncio.get_running_loop()
            ends = min(self._deadline.when(), loop.time() + _BODY_TIMEOUT_S)
            self._deadline.cancel()
            self._deadline = loop.call_at(ends, self._expire)

    def eof_received(self) -> None:
        """Handle the end of the stream.

        Waiting for `connection_lost` instead would take until the whole request is written, for
        ever at a receiver that no longer reads.
        """
        self._end(ConnectionResetError("closed before the response was complete"))

    def connection_lost(self, error: Exception | None) -> None:
        """Handle an error, or the end of a TLS stream, which some loops report only here."""
        self._end(error or ConnectionResetError("closed before the response was complete"))
        if self._tls:
            self._on_tls_end(self._tls)

    # Called by the parser

    def on_message_begin(self) -> None:
        """Close the connection if a response begins that nobody asked for."""
        if self._response and self._response.done():
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep Retry-After."""
        is_first = self._retry_after is None and not self._status
        if is_first and len(name) == 11 and name.lower() == b"retry-after":
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
