"""forget_source.lua: a source that nobody polls goes, with its hosts; one that is polled stays."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.keys import Keys
from tests.making import TYPE, grant, submit
from tests.redis_reads import key_names

RECORD = Keys(TYPE).of("source", "lab")


async def _poll(broker: Broker, *hosts: str) -> None:
    started = await broker.watch(TYPE, "lab", 1, 1.0)
    assert started is not None
    report = SourceReport(1, [Host(name, {"VCPU": 4}) for name in hosts], {})
    await broker.apply(TYPE, "lab", 1, started.begun, report)


async def test_a_source_that_is_not_polled_is_forgotten(broker: Broker, client: Redis) -> None:
    """Its hosts go out of service, those with holds when these end; the audit stays clean."""
    await _poll(broker, "h1", "h2")
    await grant(broker, await submit(broker))
    await client.hset(RECORD, "tried", "1")
    for holder in ("one", "two"):
        await broker.turn(TYPE, holder, "take", 60.0, "source:lab")
    await broker.forget_source(TYPE, "lab")
    assert [name for name in await key_names(client) if ":source:" in name] == []
    assert await broker.sources(TYPE) == []
    (host,) = await broker.hosts(TYPE)
    assert (host.name, host.dropped, host.held) == ("h1", True, {"VCPU": 1})
    assert await audit(client, TYPE) == []
    await broker.withdraw(TYPE, "d")
    assert await broker.hosts(TYPE) == []


async def test_a_source_that_is_polled_stays(broker: Broker) -> None:
    """While a notifier polls it, it would come back: the call is refused."""
    await _poll(broker, "h1")
    with pytest.raises(errors.Conflict, match="a notifier polls this source"):
        await broker.forget_source(TYPE, "lab")
    assert len(await broker.hosts(TYPE)) == 1


async def test_an_unknown_source_is_not_found(broker: Broker) -> None:
    """A name that no source has is a 404 of its own."""
    with pytest.raises(errors.SourceNotFound):
        await broker.forget_source(TYPE, "none")


async def test_a_forgotten_source_may_come_back(broker: Broker, client: Redis) -> None:
    """A notifier that polls it again publishes its hosts anew."""
    await _poll(broker, "h1")
    await client.hset(RECORD, "tried", "1")
    await broker.forget_source(TYPE, "lab")
    await _poll(broker, "h1")
    assert [host.dropped for host in await broker.hosts(TYPE)] == [False]
