"""Clients that dawdle: slow heads and bodies, answers that nobody reads, the end of the process."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rq_broker.api.responses import ok
from rq_broker.api.server import connections, protocol
from tests.api.server.serving import Served, serving
from tests.raw_http import RawConnection, connected, request

GET = request("GET", "/a")
POST = request("POST", "/b", body=b"x" * 20)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten every time limit, so that a test need not wait for it."""
    monkeypatch.setattr(connections, "TICK_SECONDS", 0.02)
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "WRITE_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(protocol, name, 0.3)


SLOW = {
    "nothing": (b"", "head"),
    "an empty line": (b"\r\n", "head"),
    "half a request line": (b"GE", "head"),
    "half a header": (GET[:-8], "head"),
    "no body": (POST[:-20], "body"),
    "half a body": (POST[:-10], "body"),
    "half a chunked body": (request("POST", "/b", body=b"x" * 20, chunked=True)[:-9], "body"),
    "half a trailer": (request("POST", "/b", body=b"x", chunked=True)[:-2] + b"A: b", "body"),
}


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
@pytest.mark.parametrize("case", SLOW)
async def test_a_request_that_does_not_end_times_out(
    case: str, before: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Headers or a body that stop coming are answered 408, and the log says which."""
    data, part = SLOW[case]
    if before and data in (b"", b"\r\n"):
        return  # that is an idle connection
    async with serving() as served, connected(served.port, before + data) as connection:
        if before:
            assert (await connection.answer()).status == 200
        answer = await connection.answer()
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert f"no complete {part}" in answer.json["error"]
        assert await connection.ended()
    assert f"a request is refused: no complete {part}" in caplog.text
    assert ("POST", "/b") not in [request[:2] for request in served.requests]


async def test_drops_of_a_request_do_not_prolong_it() -> None:
    """A client that sends a byte now and then has the same time as one that sends none."""
    async with serving() as served, connected(served.port) as connection:

        async def drip() -> None:
            for byte in GET * 100:
                await connection.send(bytes([byte]))
                await asyncio.sleep(0.1)

        task = asyncio.create_task(drip())
        assert (await connection.answer()).status == 408
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_request_under_way_has_time() -> None:
    """No time limit of the client runs while the application works, even for pipelined requests."""

    async def slowly(_: Request) -> Response:
        await asyncio.sleep(0.8)
        return ok({})

    async with (
        serving(answering=slowly) as served,
        connected(served.port, POST + GET + GET[:9], GET[9:]) as connection,
    ):
        assert [answer.status for answer in await connection.answers(3)] == [200, 200, 200]


async def test_an_idle_connection_is_kept_and_then_closed() -> None:
    """It stays for `keep_alive` seconds after each answer, and then ends without a word."""
    async with serving(keep_alive=1.0) as served, connected(served.port) as connection:
        for _ in range(3):
            await connection.send(GET)
            assert (await connection.answer()).status == 200
            await asyncio.sleep(0.5)
        assert await connection.ended()


# Answers that nobody reads


async def _endless(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


async def _unread(served: Served) -> RawConnection:
    """Ask for the endless answer, and read nothing of it."""
    connection = await RawConnection.open(served.port)
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined] # of a socket it has
    await connection.send(GET)
    return connection


async def _gone(served: Served) -> None:
    async with asyncio.timeout(20):
        while served.server.server_state.connections:
            await asyncio.sleep(0.02)


async def test_a_client_that_does_not_read_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """An answer of which nothing is read for long ends, and the log says so."""
    async with serving(answering=_endless) as served:
        connection = await _unread(served)
        async with asyncio.timeout(20):
            while "read nothing of an answer" not in caplog.text:
                await asyncio.sleep(0.02)
        await _gone(served)
        await connection.close()


async def test_a_client_that_does_not_read_a_short_answer_is_cut() -> None:
    """So does a complete answer that waits in the server's buffer behind the kernel's."""

    async def large(_: Request) -> Response:
        return Response(b"x" * 20_000_000)

    async with serving(answering=large) as served:
        connection = await _unread(served)
        await _gone(served)
        await connection.close()


async def test_a_client_that_reads_slowly_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads a little before each limit gets the whole answer."""
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 1.0)

    async def large(_: Request) -> Response:
        return Response(b"x" * 3_000_000)

    async with serving(answering=large) as served:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", served.port))
            await loop.sock_sendall(client, request("GET", "/a", "Connection: close"))
            received = 0
            while data := await loop.sock_recv(client, 65536):
                received += len(data)
                await asyncio.sleep(0.04)
    assert received > 3_000_000


async def test_a_client_that_leaves_ends_all_it_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A connection that breaks off with pipelined requests under way leaves no error in the log."""
    started, left = asyncio.Event(), asyncio.Event()

    async def slowly(_: Request) -> Response:
        started.set()
        await left.wait()
        return ok({})

    async with serving(answering=slowly) as served:
        async with connected(served.port, GET + GET + POST[:-5]):
            await started.wait()
        await _gone(served)
        left.set()
    assert len(served.requests) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# The end of the process


async def test_requests_under_way_end_before_the_process() -> None:
    """After the signal to stop, requests that have begun are answered; idle connections close."""
    go_on = asyncio.Event()

    async def slowly(_: Request) -> Response:
        await go_on.wait()
        return ok({})

    async with (
        serving(answering=slowly) as served,
        connected(served.port) as idle,
        connected(served.port, GET) as under_way,
        connected(served.port, POST[:-5]) as in_body,
        connected(served.port, GET[:-5]) as in_head,
    ):
        while len(served.requests) < 1:
            await asyncio.sleep(0.01)
        served.server.should_exit = True
        assert await idle.ended()
        await in_body.send(POST[-5:])
        await in_head.send(GET[-5:])
        go_on.set()
        for connection in (under_way, in_body, in_head):
            answer = await connection.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await connection.ended()


async def test_the_grace_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What has not ended when the grace is over is cut, and the log says how much that was."""
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 60.0)
    async with serving(answering=_endless, grace=0.2) as served:
        connection = await _unread(served)
        while not served.requests:
            await asyncio.sleep(0.01)
        served.server.should_exit = True
        await _gone(served)
        await connection.close()
    assert "1 connections are cut: 0.2 s after the signal to stop" in caplog.text
    assert "Traceback" not in caplog.text
