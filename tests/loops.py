"""Both event loops a process may run on, and connections with both of their ends in the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from rq_broker.delivery.http.connection import Connection, Response
from rq_broker.delivery.http.errors import MalformedResponse

HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\nok"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"

Run = Callable[[Coroutine[Any, Any, None]], None]


def open_sockets() -> set[str]:
    """List this process's open sockets, each by its inode."""
    targets = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of this listing itself
            targets.add(str(entry.readlink()))
    return {target for target in targets if target.startswith("socket:")}


def in_ten_seconds() -> float:
    """Return a deadline that no test reaches."""
    return asyncio.get_running_loop().time() + 10


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the loop has made the condition true; fail after ten seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def _finish(main: Coroutine[Any, Any, None]) -> None:
    """Run the coroutine, then wait until it has left no task behind."""
    async with asyncio.timeout(30):
        await main
    await until(lambda: len(asyncio.all_tasks()) == 1)


def _run(
    new_loop: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, None]
) -> None:
    """Run on a new loop; fail if a callback raised, or a task or socket outlived the coroutine."""
    complaints: list[dict[str, Any]] = []
    before = open_sockets()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        runner.run(_finish(main))
    assert complaints == []
    assert open_sockets() == before


both_loops = pytest.mark.parametrize(
    "run",
    [partial(_run, asyncio.new_event_loop), partial(_run, uvloop.new_event_loop)],
    ids=["asyncio", "uvloop"],
)
"""For tests that hand their coroutine to `run`: the transports of the two loops differ."""


class LoopbackDialler:
    """Dials for a pool, and keeps the receiver's end of every connection as a bare socket."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        """The receiver's ends, in the order of the dials."""

    async def dial(self, _: str = "") -> Connection:
        with socket.create_server(("127.0.0.1", 0)) as server:
            client_end = socket.create_connection(server.getsockname())
            receiver_end, _address = server.accept()
        self.ends.append(receiver_end)
        client_end.setblocking(False)
        receiver_end.setblocking(False)
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, sock=client_end))[1]

    async def read_request(self, index: int, request: bytes = REQUEST) -> socket.socket:
        """Read a whole request at the receiver's end of a dial, and return that end."""
        await until(lambda: len(self.ends) > index)
        received = b""
        while received != request:
            assert request.startswith(received)
            chunk = await asyncio.get_running_loop().sock_recv(self.ends[index], 1 << 20)
            assert chunk
            received += chunk
        return self.ends[index]

    def __enter__(self) -> LoopbackDialler:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self.ends:
            end.close()


Result = tuple[Response | type[Exception], bool]
"""The response or the class of the error of a POST, and whether its connection is still open."""


async def _result_of(post: asyncio.Future[Response], connection: Connection) -> Result:
    (result,) = await asyncio.gather(post, return_exceptions=True)
    if isinstance(result, Response):
        return result, connection.is_open
    assert isinstance(result, (OSError, MalformedResponse)), result
    assert not connection.is_open
    return (MalformedResponse if isinstance(result, MalformedResponse) else OSError), False


async def exchange(*pieces: bytes) -> Result:
    """Respond to a POST with these pieces, each read before the next is sent, and end."""
    with LoopbackDialler() as dialler:
        connection = await dialler.dial()
        post = asyncio.ensure_future(connection.post(REQUEST, in_ten_seconds()))
        receiver_end = await dialler.read_request(0)
        for piece in pieces:
            try:
                receiver_end.send(piece)
            except OSError:  # closed by the connection
                break
            for _ in range(3):
                await asyncio.sleep(0)
        if not post.done():
            receiver_end.shutdown(socket.SHUT_WR)
        result = await _result_of(post, connection)
        connection.close()
        await until(connection._transport.is_closing)
        await asyncio.sleep(0)
        return result
