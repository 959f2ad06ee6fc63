"""redis_private.py: the installed redis-py has the private parts that the multiplexer needs."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.store import redis_private
from rq_broker.store.embedded import Server
from rq_broker.store.redis_private import DialledConnection, UnsupportedRedisPy, dial
from rq_broker.store.runner import Runner

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


class Recorder(asyncio.Protocol):
    """Keeps what the socket delivers."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received.put_nowait(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost.set()


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(".")[:3])


def test_the_installed_redis_py_is_in_the_range_that_pyproject_allows() -> None:
    """pyproject.toml names a lowest and a first unsupported version; the installed is between."""
    (required,) = [entry for entry in PROJECT["dependencies"] if entry.startswith("redis")]
    lowest, limit = required.removeprefix("redis").split(",")
    assert lowest.startswith(">=")
    assert limit.startswith("<")
    assert _version(lowest[2:]) <= _version(redis.__version__) < _version(limit[1:])


async def test_the_bytes_of_a_dialled_connection_go_to_our_protocol(real_client: Redis) -> None:
    """If this fails, redis-py changed where it keeps its transport: see redis_private.py."""
    protocol = Recorder()
    connection = await dial(real_client, protocol)
    async with asyncio.timeout(5):
        connection.transport.write(b"PING\r\n")
        assert await protocol.received.get() == b"+PONG\r\n"
        connection.transport.abort()
        await protocol.lost.wait()
    connection.lost(None)
    await connection.release()


async def test_redis_py_greets_before_it_hands_a_connection_over(real_client: Redis) -> None:
    """The options of the client, here its database and name, hold on a dialled connection."""
    options = {**real_client.connection_pool.connection_kwargs, "db": 3, "client_name": "shared"}
    client = Redis(**{name: options[name] for name in ("host", "port", "db", "client_name")})
    protocol = Recorder()
    connection = await dial(client, protocol)
    async with asyncio.timeout(5):
        connection.transport.write(b"CLIENT INFO\r\n")
        info = await protocol.received.get()
    assert b" db=3 " in info
    assert b" name=shared " in info
    connection.lost(None)
    await connection.release()
    await client.aclose()


async def test_a_released_connection_is_dialled_again_by_the_pool(real_client: Redis) -> None:
    """After `release` the pool has as many connections as before, and each works."""
    for _ in range(3):
        connection = await dial(real_client, Recorder())
        connection.lost(None)
        await connection.release()
        assert await real_client.ping()
    async with asyncio.timeout(5):
        assert len(await real_client.client_list()) <= 2


def test_a_changed_redis_py_is_named_in_one_sentence() -> None:
    """Without the private transport the error names redis-py, its version and the remedy."""
    changed = SimpleNamespace(_stream=None)
    with pytest.raises(UnsupportedRedisPy) as raised:
        DialledConnection(None, changed, Recorder())
    assert str(raised.value).startswith(f"rq-broker does not support redis-py {redis.__version__}:")
    assert "install a version that rq-broker's requirements allow" in str(raised.value)


async def test_a_changed_redis_py_is_logged_and_leaks_no_connection(
    redis_server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls fail as Unavailable, the log says why, and the pool gets its one connection back."""
    client = Redis(port=redis_server.port, max_connections=1)

    def changed(*_: object) -> None:
        raise UnsupportedRedisPy("rq-broker does not support redis-py 99.0")

    monkeypatch.setattr(redis_private, "DialledConnection", changed)
    runner = Runner(client)
    for _ in range(2):
        with pytest.raises(errors.Unavailable):
            await runner.command("PING")
    assert any("does not support redis-py 99.0" in message for message in caplog.messages)
    assert await client.ping()
    await client.aclose()
