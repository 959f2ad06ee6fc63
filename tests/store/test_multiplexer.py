"""A connection many share: every caller gets its own reply or an error, whatever happens to it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import exceptions
from redis.asyncio import Redis

from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server, free_port
from rq_broker.store.multiplexer import BATCH, Lane

TIMEOUT = 1.0
DEADLINE = 10.0


@pytest.fixture
async def lane(real_client: Redis) -> Lane:
    return Lane(real_client, TIMEOUT)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[tuple[Server, Lane]]:
    """A server this test may stop, and a lane to it that has been used."""
    server = Server(tmp_path)
    server.start()
    client = connect(server.url)
    assert isinstance(client, Redis)
    lane = Lane(client, TIMEOUT)
    await lane.call("PING")
    yield server, lane
    await client.aclose()
    server.kill()


async def _answers(lane: Lane) -> None:
    """Wait until the lane serves again, by itself."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                assert await lane.call("ECHO", "again") == "again"
                return
            except exceptions.ConnectionError:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 1000])
async def test_each_caller_gets_its_own_reply(lane: Lane, count: int) -> None:
    """However many ask at once, before there is a connection and after, replies keep to askers."""
    for _ in range(2):
        replies = await asyncio.gather(*(lane.call("ECHO", str(n)) for n in range(count)))
        assert replies == [str(n) for n in range(count)]
    assert (lane.gathered, lane.owed) == (0, 0)


async def test_what_gathers_is_sent(lane: Lane) -> None:
    """What is asked while a reply is owed goes once that came, or once it is a batch."""
    await lane.call("PING")
    first = lane.call("BLPOP", "nothing", 0.1)
    await asyncio.sleep(0)
    second = lane.call("ECHO", "2")
    assert (lane.gathered, lane.owed) == (1, 2)
    async with asyncio.timeout(DEADLINE):
        assert (await first, await second) == (None, "2")
    first = lane.call("BLPOP", "nothing", 0.1)
    await asyncio.sleep(0)
    batch = [lane.call("ECHO", str(n)) for n in range(BATCH)]
    assert (lane.gathered, lane.owed) == (0, 1 + BATCH)
    await asyncio.gather(first, *batch)


async def test_a_caller_that_went_shifts_no_reply(lane: Lane) -> None:
    """A cancelled call's reply is dropped; the replies behind it still reach their own callers."""
    calls = [lane.call("ECHO", str(n)) for n in range(20)]
    for gone in calls[::3]:
        gone.cancel()
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(reply, asyncio.CancelledError) for reply in replies[::3])
    assert [reply for n, reply in enumerate(replies) if n % 3] == [
        str(n) for n in range(20) if n % 3
    ]


async def test_what_nobody_asked_for_is_nobody_s_reply(lane: Lane, real_client: Redis) -> None:
    """A push of the server, which RESP3 allows at any time, is not taken for a reply."""
    await lane.call("HELLO", "3")
    await lane.call("CLIENT", "TRACKING", "ON")
    before = await asyncio.gather(lane.call("CLIENT", "ID"), lane.call("GET", "watched"))
    await real_client.set("watched", "1")
    after = await asyncio.gather(lane.call("CLIENT", "ID"), lane.call("GET", "watched"))
    assert (before[1], after[1]) == (None, "1")
    assert before[0] == after[0]


async def test_a_refused_command_fails_alone(lane: Lane) -> None:
    """Redis's error goes to the one who asked; its neighbours in the same piece are served."""
    before, bad, sha, after = await asyncio.gather(
        lane.call("ECHO", "1"),
        lane.call("NONSENSE"),
        lane.call("EVALSHA", "0" * 40, 0),
        lane.call("ECHO", "2"),
        return_exceptions=True,
    )
    assert (before, after) == ("1", "2")
    assert isinstance(bad, exceptions.ResponseError)
    assert "NONSENSE" in str(bad)
    assert isinstance(sha, exceptions.NoScriptError)


async def test_what_cannot_be_packed_fails_where_it_is_asked(lane: Lane) -> None:
    """A command of a type Redis has no words for raises at once and takes nobody along."""
    good = lane.call("ECHO", "1")
    with pytest.raises(TypeError):
        lane.call("ECHO", object())
    assert await good == "1"


async def test_broken_text_goes_back_as_the_same_bytes(lane: Lane) -> None:
    """Bytes that are no UTF-8, once read, name the same thing when they are sent again."""
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert await lane.call("ECHO", name) == name


async def test_large_replies_come_whole(lane: Lane) -> None:
    """A reply of many reads is put together, and the one behind it is not mixed up with it."""
    large, small = await asyncio.gather(lane.call("ECHO", "x" * 5_000_000), lane.call("ECHO", "y"))
    assert (len(large), small) == (5_000_000, "y")


async def test_who_waits_is_told_when_the_connection_ends(own: tuple[Server, Lane]) -> None:
    """A killed server fails all that is owed at once; back again, the same lane serves."""
    server, lane = own
    waiting = [lane.call("BLPOP", "nothing", 0), *(lane.call("PING") for _ in range(5))]
    await asyncio.sleep(0.05)
    await asyncio.to_thread(server.kill)
    async with asyncio.timeout(DEADLINE):
        replies = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(reply, exceptions.ConnectionError) for reply in replies)
    with pytest.raises(exceptions.ConnectionError):
        await lane.call("PING")
    await asyncio.to_thread(server.start)
    await _answers(lane)


async def test_the_log_says_once_why_there_is_no_connection(
    own: tuple[Server, Lane], caplog: pytest.LogCaptureFixture
) -> None:
    """Who runs it learns a dial's cause, once however many calls fail, and anew the next time."""
    server, lane = own
    for times in (1, 2):
        await asyncio.to_thread(server.kill)
        for _ in range(3):
            with pytest.raises(exceptions.ConnectionError):
                await lane.call("PING")
        assert len(caplog.messages) == times
        assert f"Error 111 connecting to 127.0.0.1:{server.port}" in caplog.messages[-1]
        await asyncio.to_thread(server.start)
        await _answers(lane)


async def test_a_silent_server_is_given_up(own: tuple[Server, Lane]) -> None:
    """A server that stands still fails its callers after the timeout, and then serves again."""
    server, lane = own
    assert server.process
    os.kill(server.process.pid, signal.SIGSTOP)
    for _ in range(2):  # on the connection it has, and on one that is not greeted
        with pytest.raises(exceptions.ConnectionError):
            async with asyncio.timeout(DEADLINE):
                await lane.call("PING")
    os.kill(server.process.pid, signal.SIGCONT)
    await _answers(lane)


async def test_a_slow_reply_is_no_silence(lane: Lane) -> None:
    """While one of many is slow and others are answered, the connection is kept."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + 2 * TIMEOUT
    while loop.time() < ends:
        assert await lane.call("BLPOP", "nothing", 0.3) is None


async def test_an_end_that_is_told_late_harms_nobody(lane: Lane) -> None:
    """A connection given up before its end was told leaves the next one and its callers alone."""
    first = await lane.call("CLIENT", "ID")
    old = lane._wire
    assert old
    old.data_received(b"nonsense\r\n")  # given up; its end is told in a later turn of the loop
    async with asyncio.timeout(DEADLINE):
        second = await lane.call("CLIENT", "ID")
        old.connection_lost(None)
        assert await lane.call("CLIENT", "ID") == second != first


async def test_a_dial_that_is_cancelled_tells_all_who_waited() -> None:
    """Nobody waits for a connection that nobody is dialling any more; the next call dials again."""
    client = connect(f"redis://127.0.0.1:{free_port()}/0")
    assert isinstance(client, Redis)
    lane = Lane(client, TIMEOUT)
    call = lane.call("PING")
    assert lane._dialling
    await asyncio.sleep(0)
    lane._dialling.cancel()
    for waiting in (call, lane.call("PING")):
        with pytest.raises(exceptions.ConnectionError):
            async with asyncio.timeout(DEADLINE):
                await waiting
    await client.aclose()
