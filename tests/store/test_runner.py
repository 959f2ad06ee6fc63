"""The runner on a real server: what its callers get when Redis does not serve them."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.runner import Runner

DEADLINE = 10.0


async def test_a_replica_that_takes_no_writes_is_unavailable(real_client: Redis) -> None:
    """A primary that was demoted answers READONLY: calls that write fail as Unavailable."""
    runner = Runner(real_client)
    await real_client.replicaof("127.0.0.1", "1")
    try:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(errors.RedisReadOnly):
                await runner.ping()
    finally:
        await real_client.replicaof("NO", "ONE")
    await runner.ping()


async def test_a_script_that_redis_forgot_is_sent_whole(redis_server: Server) -> None:
    """After SCRIPT FLUSH, or a failover, the next call of each script succeeds."""
    client = connect(redis_server.url)
    await client.script_flush()
    reply = await Runner(client).run("sources", "forgotten")
    assert reply.sources == []
    await client.aclose()


async def test_an_error_of_any_class_becomes_one_of_ours(
    real_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py may raise an AttributeError; a loop expects only the errors of the domain."""
    runner = Runner(real_client)

    async def fail(*_: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'name'")

    monkeypatch.setattr(runner, "_call", fail)
    monkeypatch.setattr(runner, "_write", fail)
    for call in (runner.ping, lambda: runner.run("sources", "vm")):
        with pytest.raises(errors.Internal):
            await call()


async def test_a_subscriber_of_one_server_is_its_client(real_client: Redis) -> None:
    """It needs no client of its own: its pool makes a connection for each subscription."""
    assert Runner(real_client).subscriber() is real_client
