"""Connections with both their ends, on both loops a process may run on: their transports differ."""

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

from rq_broker.delivery.http.connection import Connection

HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\nok"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"

Run = Callable[[Coroutine[Any, Any, None]], None]


def sockets() -> set[str]:
    """This process's open sockets, each by its inode."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            found.add(str(entry.readlink()))
    return {name for name in found if name.startswith("socket:")}


async def until(true: Callable[[], bool]) -> None:
    """Wait for what the loop will bring about."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


async def _alone(main: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(30):
        await main
    await until(lambda: len(asyncio.all_tasks()) == 1)


def _run(
    new_loop: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, None]
) -> None:
    """Run it; fail if a callback raised, a task is left, or a socket outlived the loop."""
    complaints: list[dict[str, Any]] = []
    before = sockets()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        runner.run(_alone(main))
    assert complaints == []
    assert sockets() == before


both_loops = pytest.mark.parametrize(
    "run",
    [partial(_run, asyncio.new_event_loop), partial(_run, uvloop.new_event_loop)],
    ids=["asyncio", "uvloop"],
)
"""For a test that hands its coroutine to `run`."""


class Door:
    """Dials for a pool; of every connection the receiver's end is here, a bare socket."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []

    async def dial(self, _: str = "") -> Connection:
        with socket.create_server(("127.0.0.1", 0)) as door:
            ours = socket.create_connection(door.getsockname())
            theirs, _address = door.accept()
        self.ends.append(theirs)
        ours.setblocking(False)
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, sock=ours))[1]

    async def hears(self, place: int, request: bytes = REQUEST) -> socket.socket:
        """Read a whole request at one of the ends."""
        await until(lambda: len(self.ends) > place)
        heard = b""
        while heard != request:
            assert request.startswith(heard)
            more = await asyncio.get_running_loop().sock_recv(self.ends[place], 1 << 20)
            assert more
            heard += more
        return self.ends[place]

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self.ends:
            end.close()
