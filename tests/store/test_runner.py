"""The runner: which error of domain/errors.py a caller gets for one of Redis or redis-py."""

from __future__ import annotations

import asyncio

import pytest
from redis import exceptions
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.runner import Runner, translate

DEADLINE = 10.0


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("refused"),
        exceptions.TimeoutError("no reply"),
        exceptions.RedisClusterException("no node answers"),
        TimeoutError(),
        OSError("reset"),
        exceptions.ResponseError("LOADING Redis is loading the dataset in memory"),
        exceptions.ResponseError("READONLY You can't write against a read only replica."),
        exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        exceptions.ClusterDownError("The cluster is down"),
        exceptions.MasterDownError("Link with MASTER is down"),
        exceptions.TryAgainError("Multiple keys request during rehashing of slot"),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:30],
)
def test_a_redis_that_is_away_or_cannot_serve_is_unavailable(error: Exception) -> None:
    """Callers may repeat the call, whether redis-py strips the first word of the reply or not."""
    assert isinstance(translate(error), errors.Unavailable)


def test_an_error_of_a_script_is_the_class_of_its_word() -> None:
    """The word before the sentence names the class; the sentence stays."""
    error = translate(exceptions.ResponseError("JOB_NOT_FOUND no job d in type vm"))
    assert isinstance(error, errors.JobNotFound)
    assert str(error) == "no job d in type vm"


def test_any_other_reply_is_internal_and_keeps_its_text() -> None:
    """A refused command is a fault of ours, and its text is needed to find it."""
    error = translate(exceptions.ResponseError("WRONGTYPE Operation against a key"))
    assert isinstance(error, errors.Internal)
    assert "WRONGTYPE Operation against a key" in str(error)


async def test_a_replica_that_takes_no_writes_is_unavailable(real_client: Redis) -> None:
    """A primary that was demoted answers READONLY: calls that write fail as Unavailable."""
    runner = Runner(real_client)
    await real_client.replicaof("127.0.0.1", "1")
    try:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(errors.Unavailable):
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
