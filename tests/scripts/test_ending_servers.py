"""Servers of tests and trials leave no connection open behind them."""

from __future__ import annotations

import asyncio

from faulting.listener import listening
from standins.applications import serving
from starlette.responses import Response

LARGE = b"x" * (64 << 20)
"""More than the buffers of two sockets hold."""


async def test_an_application_s_answer_that_nobody_reads_is_cut() -> None:
    """What a connection still has to send does not keep it open behind its server."""
    app = Response(LARGE)
    async with serving(app, lifespan="off", timeout_graceful_shutdown=0) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.config.port, limit=1)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while not any(
            each.transport.get_write_buffer_size() for each in server.server_state.connections
        ):
            await asyncio.sleep(0.01)
        (left,) = server.server_state.connections
    assert left.transport.get_write_buffer_size() == 0
    writer.transport.abort()


async def test_a_trial_s_answer_that_nobody_reads_is_cut() -> None:
    """What a connection still has to send does not keep it open behind its listener."""
    served: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(LARGE)
        served.append(writer)

    async with listening(serve) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        while not served:
            await asyncio.sleep(0.01)
    assert served[0].transport.get_write_buffer_size() == 0
    writer.transport.abort()
