"""How many connections are served, and who is refused or closed at the limit."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from rq_broker.api.server import connections as module
from rq_broker.api.server.connections import address_key
from rq_broker.api.server.limits import ConnectionLimits, connection_limits
from rq_broker.domain.errors import Invalid
from tests.api.server.serving import serving
from tests.raw_http import connected, request

GET = request("GET", "/a")
HALF = GET[:-3]
SMALL = ConnectionLimits(total=6, per_address=4, reserve=32)


async def _fill(stack: AsyncExitStack, port: int, count: int, source: str, *pieces: bytes) -> None:
    for _ in range(count):
        connection = await stack.enter_async_context(connected(port, *pieces, source=source))
        if pieces == (GET,):
            await connection.answer()
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("piece", [(), (HALF,)], ids=["silent", "slow"])
async def test_one_address_has_its_limit(
    piece: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """A connection above it is answered 503, and other addresses are served."""
    async with serving(SMALL) as served, AsyncExitStack() as stack:
        await _fill(stack, served.port, 4, "127.0.0.1", *piece)
        async with connected(served.port, GET) as refused:
            answer = await refused.answer()
            assert (answer.status, answer.code) == (503, "too_many_connections")
            assert int(answer.headers["retry-after"]) >= 1
            assert await refused.ended()
        async with connected(served.port, GET, source="127.0.0.2") as other:
            assert (await other.answer()).status == 200
    assert "4 connections from one address are open (from 127.0.0.1)" in caplog.text


async def test_all_addresses_have_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    """Above the limit of the process every address is refused; once some end, it is served."""
    async with serving(SMALL) as served:
        async with AsyncExitStack() as stack:
            await _fill(stack, served.port, 3, "127.0.0.1", HALF)
            await _fill(stack, served.port, 3, "127.0.0.2", HALF)
            async with connected(served.port, GET, source="127.0.0.3") as refused:
                assert (await refused.answer()).code == "too_many_connections"
        assert "6 connections are open (from 127.0.0.3)" in caplog.text
        async with asyncio.timeout(10):
            while served.server.server_state.connections:
                await asyncio.sleep(0.01)
        async with connected(served.port, GET, source="127.0.0.3") as other:
            assert (await other.answer()).status == 200


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.9"])
async def test_an_idle_connection_makes_room(source: str) -> None:
    """At the limit the one that is idle for longest is closed, none with a request under way."""
    async with serving(SMALL) as served, AsyncExitStack() as stack:
        busy = await stack.enter_async_context(connected(served.port, HALF))
        oldest = await stack.enter_async_context(connected(served.port, GET))
        await oldest.answer()
        await _fill(stack, served.port, 2, "127.0.0.1", GET)
        await _fill(stack, served.port, 2, "127.0.0.2", GET)
        async with connected(served.port, GET, source=source) as new:
            assert (await new.answer()).status == 200
        assert await oldest.ended()
        await busy.send(GET[-3:])
        assert (await busy.answer()).status == 200


async def test_many_refusals_at_once_do_not_linger() -> None:
    """Refused connections beyond a part of the reserve close at once; the rest were answered."""
    async with serving(SMALL) as served, AsyncExitStack() as stack:
        await _fill(stack, served.port, 4, "127.0.0.1", HALF)
        flood = [
            await stack.enter_async_context(connected(served.port, source="127.0.0.1"))
            for _ in range(40)
        ]
        for connection in flood:
            assert (await connection.answer()).status == 503
        async with connected(served.port, GET, source="127.0.0.2") as other:
            assert (await other.answer()).status == 200


async def test_a_lack_of_descriptors_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no file can be opened, the log says so once, and idle connections make room."""
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(module, "are_exhausted", lambda: True)
    async with serving() as served, connected(served.port, GET) as idle:
        await idle.answer()
        assert await idle.ended()
    assert caplog.text.count("no file descriptor is left") == 1


# Limits of a process


@pytest.mark.parametrize(
    ("descriptors", "total", "reserve"), [(64, 32, 32), (1024, 896, 128), (65536, 63488, 2048)]
)
def test_the_limit_follows_the_descriptors(descriptors: int, total: int, reserve: int) -> None:
    """Connections and what is kept beside them are never more than the descriptors."""
    assert connection_limits(descriptors) == ConnectionLimits(total, total // 2, reserve)


def test_limits_may_be_set() -> None:
    """A total and a limit for each address win over the defaults."""
    assert connection_limits(1024, 100) == ConnectionLimits(100, 50, 128)
    assert connection_limits(1024, 100, 100) == ConnectionLimits(100, 100, 128)
    assert connection_limits(1024, 1) == ConnectionLimits(1, 1, 128)


@pytest.mark.parametrize(("descriptors", "total"), [(1024, 897), (32, None)])
def test_limits_beyond_the_descriptors_are_refused(descriptors: int, total: int | None) -> None:
    """The sentence names how many descriptors there are."""
    with pytest.raises(Invalid, match=str(descriptors)):
        connection_limits(descriptors, total)


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:0db8:0000:0000"),
        ("2001:db8::ffff:1", "2001:0db8:0000:0000"),
        ("2001:db8:0:1::1", "2001:0db8:0000:0001"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("no:address", "no:address"),
    ],
)
def test_an_ipv6_network_is_one_address(host: str, key: str) -> None:
    """A client that owns a /64 has no more connections than one with a single address."""
    assert address_key(host) == key
