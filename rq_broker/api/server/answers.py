"""Writes the head of an answer together with its body, in one system call.

uvicorn writes them one after the other, and uvloop hands each write to the kernel at once. A system
call takes as long as all that Starlette does for a request.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class AnswerWriter(asyncio.Transport):
    """The transport as the answers of one connection see it.

    A head whose body does not follow within this turn of the event loop, as that of a stream of
    events, goes out alone at its end.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._head = b""

    def is_closing(self) -> bool:
        """Return whether nothing can be sent any more."""
        return self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a part of an answer; a head waits for what follows it."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data[:5] == b"HTTP/":
            self._head = bytes(data)
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head that still waits, unless nothing can be sent any more."""
        if self._head:
            head, self._head = self._head, b""
            if not self._transport.is_closing():
                self._transport.write(head)

    def close(self) -> None:
        """Close the connection once all is sent."""
        self.flush()
        self._transport.close()


def unframed(app: ASGIApp, cycle: RequestResponseCycle) -> ASGIApp:
    """Return an app whose answer of unknown length ends with the connection.

    uvicorn sends one in chunks, which clients of HTTP/1.0 do not know (RFC 9112, section 6.1).
    """

    async def unframed_app(scope: Scope, receive: Receive, send: Send) -> None:
        has_length = True

        async def send_unframed(message: Message) -> None:
            nonlocal has_length
            if message["type"] == "http.response.start":
                has_length = any(
                    name.lower() == b"content-length" for name, _ in message["headers"]
                )
                if not has_length:
                    cycle.chunked_encoding = False
            elif not has_length:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_unframed)

    return unframed_app
