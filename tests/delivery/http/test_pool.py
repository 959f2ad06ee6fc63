"""Which connections are used again, which never are, and that none is left behind."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from rq_broker.delivery.http import pool as pool_module
from rq_broker.delivery.http.connection import Answer
from rq_broker.delivery.http.pool import Pool
from tests.loops import GONE, OK, REQUEST, Door, Run, both_loops, sockets, until

RECEIVER = "http://receiver.test:80"


@both_loops
def test_a_connection_that_ended_while_idle_is_not_used(run: Run) -> None:
    """A receiver may close what is idle; the next POST goes over a new connection."""

    async def main() -> None:
        with Door() as door:
            pool = Pool(door.dial)
            await _answered(pool, door, 0)
            door.ends[0].close()
            await until(lambda: not pool._kept[RECEIVER][0].is_open)
            await _answered(pool, door, 1)
            assert len(door.ends) == 2
            pool.close()
            await _gone(door)

    run(main())


async def _answered(pool: Pool, door: Door, place: int, raw: bytes = OK) -> Answer:
    """Post, and answer at one of the ends."""
    post = asyncio.ensure_future(pool.post(RECEIVER, REQUEST))
    (await door.hears(place)).send(raw)
    return await post


async def _gone(door: Door) -> None:
    """Wait until our end of every connection is closed."""
    for end in door.ends:
        if end.fileno() >= 0:
            with suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(end, 1 << 16) == b""


@both_loops
def test_a_connection_that_ends_as_it_is_used_is_replaced_once(run: Run) -> None:
    """A POST that met a closed connection is sent again, whatever else is kept, and only once."""

    async def main() -> None:
        with Door() as door:
            pool = Pool(door.dial)
            await _keep_three(pool, door)
            for end in door.ends:
                end.close()  # and before the loop can tell:
            assert all(kept.is_open for kept in pool._kept[RECEIVER])
            assert await _answered(pool, door, 3) == Answer(200, None)
            pool.close()
            await _gone(door)

    run(main())


async def _keep_three(pool: Pool, door: Door) -> None:
    posts = [asyncio.ensure_future(pool.post(RECEIVER, REQUEST)) for _ in range(3)]
    for place in range(3):
        (await door.hears(place)).send(OK)
    await asyncio.gather(*posts)
    assert len(pool._kept[RECEIVER]) == 3


@both_loops
@pytest.mark.parametrize("resets", [False, True])
def test_a_request_that_ends_its_connection_is_sent_twice_at_most(run: Run, resets: bool) -> None:
    """A receiver that dies of a request does not get it over every connection that is kept."""

    async def main() -> None:
        with Door() as door:
            pool = Pool(door.dial)
            await _keep_three(pool, door)
            post = asyncio.ensure_future(pool.post(RECEIVER, REQUEST))
            for place in (2, 3):  # the newest kept, then a new one
                end = await door.hears(place)
                if resets:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.close()
            with pytest.raises(ConnectionResetError):
                await post
            assert len(door.ends) == 4
            pool.close()
            await _gone(door)

    run(main())


@both_loops
@pytest.mark.parametrize("raw", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", OK[:-1]])
def test_an_answer_begun_is_never_asked_for_again(run: Run, raw: bytes) -> None:
    """Once a byte of an answer came, its connection's end is the attempt's."""

    async def main() -> None:
        with Door() as door:
            pool = Pool(door.dial)
            await _answered(pool, door, 0)
            post = asyncio.ensure_future(pool.post(RECEIVER, REQUEST))
            end = await door.hears(0)
            end.send(raw)
            end.close()
            with pytest.raises(ConnectionResetError):
                await post
            assert len(door.ends) == 1
            assert not pool._kept

    run(main())


@both_loops
@pytest.mark.parametrize("more", [GONE, GONE[:1], b"x", b"\r\n\r\n" + GONE])
def test_what_comes_behind_an_answer_answers_nothing(run: Run, more: bytes) -> None:
    """A second answer, in the first one's segment or later, is never the next POST's."""

    async def main() -> None:
        with Door() as door:
            pool = Pool(door.dial)
            assert await _answered(pool, door, 0, OK + more) == Answer(200, None)
            assert not pool._kept
            assert await _answered(pool, door, 1) == Answer(200, None)
            door.ends[1].send(more)
            await until(lambda: not pool._kept[RECEIVER][0].is_open)
            assert await _answered(pool, door, 2) == Answer(200, None)
            pool.close()
            await _gone(door)

    run(main())


@both_loops
@pytest.mark.parametrize("ending", [b"", GONE])
def test_a_connection_that_ends_before_its_first_request_is_an_error(
    run: Run, ending: bytes
) -> None:
    """Between dial and POST a receiver may hang up, or speak unasked; nobody waits for it then."""

    async def main() -> None:
        with Door() as door:
            connection = await door.dial()
            door.ends[0].send(ending) if ending else door.ends[0].close()
            await until(lambda: not connection.is_open)
            with pytest.raises(ConnectionResetError):
                await connection.post(REQUEST)

    run(main())


LONG = b"POST / HTTP/1.1\r\nContent-Length: 16777216\r\n\r\n" + bytes(2**24)


@both_loops
@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 413 Large\r\n\r\n"]
)
def test_an_answer_may_come_before_all_was_sent(run: Run, raw: bytes) -> None:
    """A 413 counts while most of the request is unread, and what is left unsent is not kept."""

    async def main() -> None:
        with Door() as door:
            pool = Pool(door.dial)
            post = asyncio.ensure_future(pool.post(RECEIVER, LONG))
            await until(lambda: len(door.ends) == 1)
            await asyncio.get_running_loop().sock_recv(door.ends[0], 65536)
            door.ends[0].send(raw)
            door.ends[0].shutdown(socket.SHUT_WR)
            assert await post == Answer(413, None)
            assert not pool._kept

    run(main())


@both_loops
@pytest.mark.parametrize("request_", [REQUEST, LONG], ids=["reading", "writing"])
@pytest.mark.parametrize("kept", [False, True])
def test_being_cancelled_closes_the_connection(run: Run, request_: bytes, kept: bool) -> None:
    """A POST given up while it is written or answered leaves no socket and no task."""

    async def main() -> None:
        before = sockets()
        with Door() as door:
            pool = Pool(door.dial)
            if kept:
                await _answered(pool, door, 0)
            post = asyncio.ensure_future(pool.post(RECEIVER, request_))
            await until(lambda: len(door.ends) == 1)
            await asyncio.get_running_loop().sock_recv(door.ends[0], 100)
            post.cancel()
            with pytest.raises(asyncio.CancelledError):
                await post
            assert not pool._kept
            await until(lambda: len(sockets() - before) == 1)  # the receiver's end

    run(main())


@both_loops
def test_an_idle_connection_is_closed_before_its_receiver_would(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is idle for long is closed, what is used stays, and then nothing is left, no timer."""
    monkeypatch.setattr(pool_module, "_IDLE_S", 0.2)

    async def main() -> None:
        with Door() as door:
            pool = Pool(door.dial)
            await _keep_three(pool, door)
            for _ in range(20):  # the newest goes on being used
                await _answered(pool, door, 2)
                await asyncio.sleep(0.02)
            assert len(pool._kept[RECEIVER]) == 1
            await until(lambda: not pool._kept)
            await until(lambda: pool._sweeping is None)
            assert pool._count == 0
            await _gone(door)

    run(main())


@both_loops
def test_so_many_are_kept_and_no_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers without number do not use up the descriptors: what was idle longest is closed."""
    monkeypatch.setattr(pool_module, "_MOST_IDLE", 2)

    async def main() -> None:
        with Door() as door:
            pool = Pool(door.dial)
            for place in range(4):
                post = asyncio.ensure_future(pool.post(f"http://r{place}.test:80", REQUEST))
                (await door.hears(place)).send(OK)
                await post
            assert list(pool._kept) == ["http://r2.test:80", "http://r3.test:80"]
            pool.close()
            await _gone(door)

    run(main())


@both_loops
def test_a_closed_pool_keeps_nothing(run: Run) -> None:
    """What is idle is closed with the pool; what is in use is, once it was answered."""

    async def main() -> None:
        with Door() as door:
            pool = Pool(door.dial)
            await _keep_three(pool, door)
            post = asyncio.ensure_future(pool.post(RECEIVER, REQUEST))
            end = await door.hears(2)
            pool.close()
            pool.close()
            end.send(OK)
            assert await post == Answer(200, None)
            assert (pool._kept, pool._count) == ({}, 0)
            await _gone(door)

    run(main())
