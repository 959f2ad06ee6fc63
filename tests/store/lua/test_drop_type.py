"""drop_type.lua: an empty type is forgotten, with its policy and keys."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.domain.policy import Policy
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, claim_one, publish, submit
from tests.redis_reads import key_names


async def left(broker: Broker) -> object:
    """Return what keeps the type."""
    with pytest.raises(errors.TypeInUse) as refused:
        await broker.drop_type(TYPE)
    return refused.value.details["left"]


async def test_an_empty_type_is_forgotten(broker: Broker, client: Redis) -> None:
    """Neither its name, its policy nor its keys stay; ids and fences go on where it comes again."""
    await broker.set_policy(TYPE, {"patience": 5.0, "offer": 60.0})
    await broker.set_keys(TYPE, "*", ["whsec_x"])
    job = await bring(broker, Status.GRANTED)
    await claim_one(broker)
    assert await left(broker) == {"jobs": 1, "hosts": 1, "sources": 0}
    await broker.withdraw(TYPE, "d")
    assert await left(broker) == {"jobs": 0, "hosts": 1, "sources": 0}
    assert TYPE in await broker.names()
    await broker.drop_host(TYPE, "h1")
    await broker.drop_type(TYPE)
    assert await broker.names() == []
    assert (await broker.policy(TYPE), await broker.keys(TYPE)) == (Policy(), {})
    base = Keys(TYPE).base
    names = [key for key in await key_names(client) if key.startswith(base)]
    assert all(key == base or ":flying:" in key for key in names), names  # those expire
    again = await bring(broker, Status.GRANTED)
    assert again.id > job.id
    assert (again.fence or 0) > (job.fence or 0)
    assert TYPE in await broker.names()
    assert await audit(client, TYPE) == []


async def test_a_source_keeps_its_type_while_it_is_polled(broker: Broker, client: Redis) -> None:
    """One that was not polled for three intervals is forgotten with it."""
    await broker.watch(TYPE, "lab", 1, 5.0)
    assert await left(broker) == {"jobs": 0, "hosts": 0, "sources": 1}
    record = Keys(TYPE).of("source", "lab")
    await client.hincrby(record, "tried", -15_001)
    await broker.drop_type(TYPE)
    assert await broker.sources(TYPE) == []
    assert not await client.exists(record)


async def test_a_source_that_reports_hosts_keeps_its_type(broker: Broker) -> None:
    """Its hosts count as hosts, also once it is stale."""
    await broker.watch(TYPE, "lab", 1, 5.0)
    report = SourceReport(1, [Host("h2", {"VCPU": 1})], {})
    assert await broker.apply(TYPE, "lab", 1, 0, report) == (1, 0)
    assert await left(broker) == {"jobs": 0, "hosts": 1, "sources": 1}


async def test_a_type_that_never_was_is_dropped_all_the_same(broker: Broker, client: Redis) -> None:
    """A repeated call succeeds, and lists no type."""
    for _ in range(2):
        await broker.drop_type("never")
    assert await broker.names() == []
    assert set(await key_names(client)) <= {Keys("never").base}


async def test_a_submit_beside_it_keeps_its_type(broker: Broker) -> None:
    """A job is there before or after the call: in both cases its type is listed."""
    await submit(broker)
    assert await left(broker) == {"jobs": 1, "hosts": 0, "sources": 0}
    await broker.withdraw(TYPE, "d")
    await broker.drop_type(TYPE)
    await submit(broker)
    assert await broker.names() == [TYPE]
    await publish(broker)
