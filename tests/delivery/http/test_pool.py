"""Which connections are used again, which are not, and that none is left open."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from rq_broker.delivery.http.connection import Connection, Response
from rq_broker.delivery.http.errors import MalformedResponse
from rq_broker.delivery.http.pool import Pool
from tests.loops import (
    GONE,
    HEAD,
    OK,
    REQUEST,
    LoopbackDialler,
    Run,
    both_loops,
    in_ten_seconds,
    open_sockets,
    until,
)

RECEIVER = "http://receiver.test:80"


@both_loops
def test_a_connection_that_ended_while_idle_is_not_used(run: Run) -> None:
    """If the receiver closes an idle connection, the next POST uses a new one."""

    async def main() -> None:
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            await _post(pool, dialler, 0)
            dialler.ends[0].close()
            await until(lambda: not pool._idle[RECEIVER][0].is_open)
            await _post(pool, dialler, 1)
            assert len(dialler.ends) == 2
            pool.close()
            await _all_closed(dialler)

    run(main())


async def _post(pool: Pool, dialler: LoopbackDialler, index: int, raw: bytes = OK) -> Response:
    """Post, and respond at one of the receiver's ends."""
    post = asyncio.ensure_future(pool.post(RECEIVER, REQUEST, in_ten_seconds()))
    (await dialler.read_request(index)).send(raw)
    return await post


async def _all_closed(dialler: LoopbackDialler) -> None:
    """Wait until the pool's end of every connection is closed."""
    for end in dialler.ends:
        if end.fileno() >= 0:
            with suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(end, 1 << 16) == b""


@both_loops
def test_a_connection_that_was_just_closed_is_replaced_once(run: Run) -> None:
    """A POST on a connection closed meanwhile is sent again, once, on a new connection."""

    async def main() -> None:
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            await _keep_three_idle(pool, dialler)
            for end in dialler.ends:
                end.close()  # the event loop has not noticed yet:
            assert all(connection.is_open for connection in pool._idle[RECEIVER])
            assert await _post(pool, dialler, 3) == Response(200, None)
            pool.close()
            await _all_closed(dialler)

    run(main())


async def _keep_three_idle(pool: Pool, dialler: LoopbackDialler) -> None:
    waiting = [pool.post(RECEIVER, REQUEST, in_ten_seconds()) for _ in range(3)]
    posts = [asyncio.ensure_future(post) for post in waiting]
    for index in range(3):
        (await dialler.read_request(index)).send(OK)
    await asyncio.gather(*posts)
    assert len(pool._idle[RECEIVER]) == 3


@both_loops
@pytest.mark.parametrize("resets", [False, True])
def test_a_request_is_sent_at_most_twice(run: Run, resets: bool) -> None:
    """A request that crashes its receiver is not sent over every idle connection."""

    async def main() -> None:
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            await _keep_three_idle(pool, dialler)
            post = asyncio.ensure_future(pool.post(RECEIVER, REQUEST, in_ten_seconds()))
            for index in (2, 3):  # the newest idle connection, then a new one
                end = await dialler.read_request(index)
                if resets:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.close()
            with pytest.raises(ConnectionResetError):
                await post
            assert len(dialler.ends) == 4
            pool.close()
            await _all_closed(dialler)

    run(main())


@both_loops
@pytest.mark.parametrize("raw", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", HEAD[:-1]])
def test_a_request_is_not_sent_again_once_a_response_has_begun(run: Run, raw: bytes) -> None:
    """After the first byte of a response, the connection's end fails the attempt."""

    async def main() -> None:
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            await _post(pool, dialler, 0)
            post = asyncio.ensure_future(pool.post(RECEIVER, REQUEST, in_ten_seconds()))
            end = await dialler.read_request(0)
            end.send(raw)
            end.close()
            with pytest.raises(ConnectionResetError):
                await post
            assert len(dialler.ends) == 1
            assert not pool._idle

    run(main())


@both_loops
@pytest.mark.parametrize("extra", [GONE, GONE[:1], b"x", b"\r\n\r\n" + GONE])
def test_bytes_after_a_response_are_never_the_next_response(run: Run, extra: bytes) -> None:
    """A second response, in the first one's segment or later, only closes the connection."""

    async def main() -> None:
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            assert await _post(pool, dialler, 0, OK + extra) == Response(200, None)
            assert not pool._idle
            assert await _post(pool, dialler, 1) == Response(200, None)
            dialler.ends[1].send(extra)
            await until(lambda: not pool._idle[RECEIVER][0].is_open)
            assert await _post(pool, dialler, 2) == Response(200, None)
            pool.close()
            await _all_closed(dialler)

    run(main())


@both_loops
@pytest.mark.parametrize(("ending", "error"), [(b"", OSError), (GONE, MalformedResponse)])
def test_a_connection_that_ends_before_its_request_is_an_error(
    run: Run, ending: bytes, error: type[Exception]
) -> None:
    """If a receiver closes or speaks between dial and POST, the POST fails at once."""

    async def main() -> None:
        with LoopbackDialler() as dialler:
            connection = await dialler.dial()
            dialler.ends[0].send(ending) if ending else dialler.ends[0].close()
            await until(lambda: not connection.is_open)
            with pytest.raises(error):
                await connection.post(REQUEST, in_ten_seconds())

    run(main())


@both_loops
@pytest.mark.parametrize("planted", [GONE, GONE[:1], b"\r\n"])
def test_bytes_that_came_before_the_request_are_never_its_response(
    run: Run, planted: bytes
) -> None:
    """Bytes that the event loop has not read yet close every idle connection they are on."""

    async def main() -> None:
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            await _keep_three_idle(pool, dialler)
            for end in dialler.ends:
                end.send(planted)  # the event loop has not noticed yet:
            assert all(connection.is_open for connection in pool._idle[RECEIVER])
            assert await _post(pool, dialler, 3) == Response(200, None)
            assert len(pool._idle[RECEIVER]) == 1
            pool.close()
            await _all_closed(dialler)

    run(main())


@both_loops
def test_a_receiver_that_speaks_first_answers_nothing(run: Run) -> None:
    """Bytes sent between connect and request are not the response, and nothing is sent."""

    async def main() -> None:
        with LoopbackDialler() as dialler:

            async def dial(_: str) -> Connection:
                connection = await dialler.dial()
                dialler.ends[-1].send(OK)
                return connection

            pool = Pool(dial)
            with pytest.raises(MalformedResponse):
                await pool.post(RECEIVER, REQUEST, in_ten_seconds())
            await _all_closed(dialler)

    run(main())


LONG = b"POST / HTTP/1.1\r\nContent-Length: 16777216\r\n\r\n" + bytes(2**24)


@both_loops
@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 413 Large\r\n\r\n"]
)
def test_a_response_may_arrive_before_the_request_is_sent(run: Run, raw: bytes) -> None:
    """A 413 counts while most of the request is unsent, and its connection is not kept."""

    async def main() -> None:
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            post = asyncio.ensure_future(pool.post(RECEIVER, LONG, in_ten_seconds()))
            await until(lambda: len(dialler.ends) == 1)
            await asyncio.get_running_loop().sock_recv(dialler.ends[0], 65536)
            dialler.ends[0].send(raw)
            dialler.ends[0].shutdown(socket.SHUT_WR)
            assert await post == Response(413, None)
            assert not pool._idle

    run(main())


@both_loops
@pytest.mark.parametrize("request_", [REQUEST, LONG], ids=["reading", "writing"])
@pytest.mark.parametrize("was_idle", [False, True])
def test_cancellation_closes_the_connection(run: Run, request_: bytes, was_idle: bool) -> None:
    """A POST cancelled while it is sent or answered leaves no socket and no task."""

    async def main() -> None:
        before = open_sockets()
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            if was_idle:
                await _post(pool, dialler, 0)
            post = asyncio.ensure_future(pool.post(RECEIVER, request_, in_ten_seconds()))
            await until(lambda: len(dialler.ends) == 1)
            await asyncio.get_running_loop().sock_recv(dialler.ends[0], 100)
            post.cancel()
            with pytest.raises(asyncio.CancelledError):
                await post
            assert not pool._idle
            await until(lambda: len(open_sockets() - before) == 1)  # the receiver's end

    run(main())


@both_loops
def test_an_idle_connection_is_closed_after_the_timeout(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections in use stay, idle ones are closed, and after the last one the timer stops."""
    monkeypatch.setattr("rq_broker.delivery.http.pool._IDLE_TIMEOUT_S", 0.2)

    async def main() -> None:
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            await _keep_three_idle(pool, dialler)
            for _ in range(20):  # the newest stays in use
                await _post(pool, dialler, 2)
                await asyncio.sleep(0.02)
            assert len(pool._idle[RECEIVER]) == 1
            await until(lambda: not pool._idle)
            await until(lambda: pool._expiry is None)
            assert pool._idle_count == 0
            await _all_closed(dialler)

    run(main())


@both_loops
def test_the_number_of_idle_connections_is_limited(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the limit the connection that has been idle longest is closed."""
    monkeypatch.setattr("rq_broker.delivery.http.pool._MAX_IDLE", 2)

    async def main() -> None:
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            for index in range(4):
                waiting = pool.post(f"http://r{index}.test:80", REQUEST, in_ten_seconds())
                post = asyncio.ensure_future(waiting)
                (await dialler.read_request(index)).send(OK)
                await post
            assert list(pool._idle) == ["http://r2.test:80", "http://r3.test:80"]
            pool.close()
            await _all_closed(dialler)

    run(main())


@both_loops
def test_a_closed_pool_keeps_nothing(run: Run) -> None:
    """Idle connections close with the pool, one in use closes once its POST is answered."""

    async def main() -> None:
        with LoopbackDialler() as dialler:
            pool = Pool(dialler.dial)
            await _keep_three_idle(pool, dialler)
            post = asyncio.ensure_future(pool.post(RECEIVER, REQUEST, in_ten_seconds()))
            end = await dialler.read_request(2)
            pool.close()
            pool.close()
            end.send(OK)
            assert await post == Response(200, None)
            assert (pool._idle, pool._idle_count) == ({}, 0)
            await _all_closed(dialler)

    run(main())
