"""The multiplexer: every caller gets the reply to its own call or an error, and in time."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis as Sync, exceptions
from redis.asyncio import Redis

from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server, free_port
from rq_broker.store.multiplexer import BATCH, REDIAL_SECONDS, Multiplexer
from tests.loops import open_sockets

TIMEOUT = 1.0
DEADLINE = 10.0


@pytest.fixture
async def multiplexer(real_client: Redis) -> Multiplexer:
    return Multiplexer(real_client, TIMEOUT)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[tuple[Server, Multiplexer]]:
    """Start a server that the test may stop, and a multiplexer connected to it."""
    server = Server(tmp_path)
    server.start()
    client = connect(server.url)
    assert isinstance(client, Redis)
    multiplexer = Multiplexer(client, TIMEOUT)
    await multiplexer.call("PING")
    yield server, multiplexer
    await client.aclose()
    server.kill()


async def _answers(multiplexer: Multiplexer) -> None:
    """Wait until calls succeed again."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                assert await multiplexer.call("ECHO", "again") == "again"
                return
            except exceptions.ConnectionError:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 1000])
async def test_each_caller_gets_its_own_reply(multiplexer: Multiplexer, count: int) -> None:
    """Any number of calls at once, before the dial and after it, get their own replies."""
    for _ in range(2):
        replies = await asyncio.gather(*(multiplexer.call("ECHO", str(n)) for n in range(count)))
        assert replies == [str(n) for n in range(count)]
    assert (multiplexer.unsent, multiplexer.unanswered) == (0, 0)


async def test_calls_gather_while_a_reply_is_outstanding(multiplexer: Multiplexer) -> None:
    """A call made meanwhile is written once the reply arrives, or with a full batch."""
    await multiplexer.call("PING")
    first = multiplexer.call("BLPOP", "nothing", 0.1)
    await asyncio.sleep(0)
    second = multiplexer.call("ECHO", "2")
    assert (multiplexer.unsent, multiplexer.unanswered) == (1, 2)
    async with asyncio.timeout(DEADLINE):
        assert (await first, await second) == (None, "2")
    first = multiplexer.call("BLPOP", "nothing", 0.1)
    await asyncio.sleep(0)
    batch = [multiplexer.call("ECHO", str(n)) for n in range(BATCH)]
    assert (multiplexer.unsent, multiplexer.unanswered) == (0, 1 + BATCH)
    await asyncio.gather(first, *batch)


async def test_a_cancelled_call_shifts_no_reply(multiplexer: Multiplexer) -> None:
    """A cancelled call's reply is dropped; the replies behind it still reach their own callers."""
    calls = [multiplexer.call("ECHO", str(n)) for n in range(20)]
    for call in calls[::3]:
        call.cancel()
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(reply, asyncio.CancelledError) for reply in replies[::3])
    assert [reply for n, reply in enumerate(replies) if n % 3] == [
        str(n) for n in range(20) if n % 3
    ]


async def test_a_push_is_not_taken_for_a_reply(
    multiplexer: Multiplexer, real_client: Redis
) -> None:
    """Redis may push a message at any time under RESP3; the replies stay with their calls."""
    await multiplexer.call("HELLO", "3")
    await multiplexer.call("CLIENT", "TRACKING", "ON")
    before = await asyncio.gather(
        multiplexer.call("CLIENT", "ID"), multiplexer.call("GET", "watched")
    )
    await real_client.set("watched", "1")
    after = await asyncio.gather(
        multiplexer.call("CLIENT", "ID"), multiplexer.call("GET", "watched")
    )
    assert (before[1], after[1]) == (None, "1")
    assert before[0] == after[0]


async def test_a_refused_command_fails_alone(multiplexer: Multiplexer) -> None:
    """An error reply reaches its own caller; other calls of the same write succeed."""
    replies: list[object] = await asyncio.gather(
        multiplexer.call("ECHO", "1"),
        multiplexer.call("NONSENSE"),
        multiplexer.call("EVALSHA", "0" * 40, 0),
        multiplexer.call("ECHO", "2"),
        return_exceptions=True,
    )
    before, bad, sha, after = replies
    assert (before, after) == ("1", "2")
    assert isinstance(bad, exceptions.ResponseError)
    assert "NONSENSE" in str(bad)
    assert isinstance(sha, exceptions.NoScriptError)


async def test_a_call_that_cannot_be_encoded_fails_alone(multiplexer: Multiplexer) -> None:
    """An argument of a type that Redis cannot take raises at once; other calls succeed."""
    good = multiplexer.call("ECHO", "1")
    with pytest.raises(TypeError):
        multiplexer.call("ECHO", object())
    assert await good == "1"


async def test_bytes_that_are_no_utf8_survive_a_round_trip(multiplexer: Multiplexer) -> None:
    """Text read from bytes that are not UTF-8 is sent as the same bytes."""
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert await multiplexer.call("ECHO", name) == name


async def test_a_large_reply_arrives_whole(multiplexer: Multiplexer) -> None:
    """A reply of 5 MB, read in many pieces, is complete and separate from the next reply."""
    large, small = await asyncio.gather(
        multiplexer.call("ECHO", "x" * 5_000_000), multiplexer.call("ECHO", "y")
    )
    assert (len(large), small) == (5_000_000, "y")


async def test_a_lost_connection_fails_outstanding_calls(own: tuple[Server, Multiplexer]) -> None:
    """Killing the server fails all outstanding calls at once; after its restart calls succeed."""
    server, multiplexer = own
    waiting = [
        multiplexer.call("BLPOP", "nothing", 0),
        *(multiplexer.call("PING") for _ in range(5)),
    ]
    await asyncio.sleep(0.05)
    await asyncio.to_thread(server.kill)
    async with asyncio.timeout(DEADLINE):
        replies = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(reply, exceptions.ConnectionError) for reply in replies)
    with pytest.raises(exceptions.ConnectionError):
        await multiplexer.call("PING")
    await asyncio.to_thread(server.start)
    await _answers(multiplexer)


async def test_the_error_of_a_lost_call_names_what_ended_the_connection(
    own: tuple[Server, Multiplexer],
) -> None:
    """A failed dial is the cause of the error that its callers get."""
    server, multiplexer = own
    await asyncio.to_thread(server.kill)
    await asyncio.gather(multiplexer.call("PING"), return_exceptions=True)
    with pytest.raises(exceptions.ConnectionError) as lost:
        await multiplexer.call("PING")
    assert f"Error 111 connecting to 127.0.0.1:{server.port}" in str(lost.value.__cause__)


async def test_a_demoted_primary_is_left(own: tuple[Server, Multiplexer]) -> None:
    """After READONLY the next call dials anew; the calls sent before are answered all the same."""
    server, multiplexer = own
    before = await multiplexer.call("CLIENT", "ID")
    await asyncio.sleep(REDIAL_SECONDS)
    with Sync(port=server.port) as operator:
        operator.replicaof("127.0.0.1", "1")
        replies = await asyncio.gather(
            *(multiplexer.call("SET", "k", "1") for _ in range(3)),
            multiplexer.call("CLIENT", "ID"),
            return_exceptions=True,
        )
        assert ["READONLY" in str(reply) for reply in replies] == [True] * 3 + [False]
        assert replies[-1] == before
        assert await multiplexer.call("CLIENT", "ID") != before
        operator.replicaof("NO", "ONE")


async def test_a_young_connection_is_kept(own: tuple[Server, Multiplexer]) -> None:
    """While no other server serves, the connection is dialled at most every REDIAL_SECONDS."""
    server, multiplexer = own
    with Sync(port=server.port) as operator:
        operator.replicaof("127.0.0.1", "1")
        dials = int(operator.info("stats")["total_connections_received"])
        loop = asyncio.get_running_loop()
        ends = loop.time() + 2 * REDIAL_SECONDS
        while loop.time() < ends:
            await asyncio.gather(multiplexer.call("SET", "k", "1"), return_exceptions=True)
        elapsed = loop.time() - (ends - 2 * REDIAL_SECONDS)
        dials = int(operator.info("stats")["total_connections_received"]) - dials
    assert dials <= elapsed / REDIAL_SECONDS + 1


async def test_a_silent_server_is_given_up(own: tuple[Server, Multiplexer]) -> None:
    """A stopped server fails the calls after the timeout; once it continues, calls succeed."""
    server, multiplexer = own
    assert server.process
    os.kill(server.process.pid, signal.SIGSTOP)
    for _ in range(2):  # on the open connection, then on one that Redis does not greet
        with pytest.raises(exceptions.ConnectionError):
            async with asyncio.timeout(DEADLINE):
                await multiplexer.call("PING")
    os.kill(server.process.pid, signal.SIGCONT)
    await _answers(multiplexer)


async def test_a_standstill_of_both_sides_loses_no_call(own: tuple[Server, Multiplexer]) -> None:
    """A machine that stood still longer than the timeout gets its replies once it goes on."""
    server, multiplexer = own
    assert server.process
    os.kill(server.process.pid, signal.SIGSTOP)
    call = multiplexer.call("PING")
    await asyncio.sleep(0)
    time.sleep(2 * TIMEOUT)  # noqa: ASYNC251 - the loop is to stand still
    os.kill(server.process.pid, signal.SIGCONT)
    assert await call == "PONG"


async def test_slow_replies_keep_the_connection(multiplexer: Multiplexer) -> None:
    """Replies that each take less than the timeout keep the connection, for any number of calls."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + 2 * TIMEOUT
    while loop.time() < ends:
        assert await multiplexer.call("BLPOP", "nothing", 0.3) is None


async def test_a_late_connection_lost_harms_no_later_call(multiplexer: Multiplexer) -> None:
    """The old connection's connection_lost does not touch the next connection or its calls."""
    first = await multiplexer.call("CLIENT", "ID")
    old = multiplexer._connection
    assert old
    old.data_received(b"nonsense\r\n")  # not RESP: the connection is given up
    async with asyncio.timeout(DEADLINE):
        second = await multiplexer.call("CLIENT", "ID")
        old.connection_lost(None)
        assert await multiplexer.call("CLIENT", "ID") == second != first


async def test_a_cancelled_dial_fails_the_calls_that_wait_for_it() -> None:
    """No call waits for a dial that was cancelled, and the next call dials again."""
    client = connect(f"redis://127.0.0.1:{free_port()}/0")
    assert isinstance(client, Redis)
    multiplexer = Multiplexer(client, TIMEOUT)
    call = multiplexer.call("PING")
    assert multiplexer._dialling
    await asyncio.sleep(0)
    multiplexer._dialling.cancel()
    for outstanding in (call, multiplexer.call("PING")):
        with pytest.raises(exceptions.ConnectionError):
            async with asyncio.timeout(DEADLINE):
                await outstanding
    await client.aclose()


async def test_a_close_ends_a_dial(tmp_path: Path) -> None:
    """Closed while Redis greets nobody, it leaves no socket and no task, and all callers fail."""
    server = Server(tmp_path)
    server.start()
    assert server.process
    server.process.send_signal(signal.SIGSTOP)
    before = open_sockets()
    client = connect(server.url)
    assert isinstance(client, Redis)
    multiplexer = Multiplexer(client, DEADLINE)
    reply = multiplexer.call("PING")
    async with asyncio.timeout(DEADLINE):
        while open_sockets() == before:
            await asyncio.sleep(0.01)
    await multiplexer.aclose()
    for call in (reply, multiplexer.call("PING")):
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(exceptions.ConnectionError):
            await call
    await client.aclose()
    await asyncio.sleep(0)  # closed transports give their sockets back on the loop's next turn
    assert open_sockets() == before
    server.process.send_signal(signal.SIGCONT)
    server.kill()
