"""lib/destination.lua: when most destinations fail at once, and when one is forgotten."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from tests.making import TYPE, bring, claim_one, settle, submit
from tests.redis_reads import members
from tests.store.lua.breaking import (
    HEALTHY,
    HERE,
    KEYS,
    UNHEALTHY,
    claims,
    granted_to,
    known,
    opened,
)

NO_NAME = Settlement("retry", "dns", 1, 60, "unhealthy")


async def _outage(broker: Broker, *hosts: str) -> list[str]:
    """Let one callback to each of these fail."""
    found = []
    for host in hosts:
        found.append(await granted_to(broker, host, host))
        await settle(broker, await claim_one(broker), NO_NAME)
    return found


async def test_when_most_fail_nobody_is_charged(client: Redis, broker: Broker) -> None:
    """Once most destinations fail no further breaker opens, however often each of them does."""
    names = await _outage(broker, "a", "b", "c", "d")
    assert (await broker.destinations(TYPE))[0]
    before = {each.name: each.failures for each in (await broker.destinations(TYPE))[1]}
    for _ in range(10):
        for member in await members(client, KEYS.of("deliveries")):
            await client.zadd(KEYS.of("deliveries"), {member: 0})
        for each in await claims(broker):
            await settle(broker, each, NO_NAME)
    outage, seen = await broker.destinations(TYPE)
    assert outage
    assert {each.name: each.failures for each in seen} == before
    assert {each.state for each in seen} == {"closed"}
    assert (await broker.view(TYPE)).closed == set(names)
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("how", ["settled", "swept"])
async def test_offers_that_end_in_an_outage_put_jobs_back(
    client: Redis, broker: Broker, how: str
) -> None:
    """Whether its last attempt or the janitor ends an offer, the job is in line at its place."""
    first = await submit(broker, "front")
    await broker.set_policy(TYPE, {"offer": 0.5})
    job = await bring(broker, Status.GRANTED, "victim")
    await broker.set_policy(TYPE, {"offer": 300})
    delivery = await claim_one(broker, lease=0.5)
    await _outage(broker, "a", "b", "c")
    if how == "settled":
        assert await settle(broker, delivery, Settlement("retry", "dns", 1, 60)) == "queued"
    else:
        await asyncio.sleep(0.6)
        await broker.sweep(TYPE)
    read = await broker.read(TYPE, "victim")
    assert (read.status, read.priority, read.position) == (Status.QUEUED, job.priority, 2)
    assert (read.error, read.attempts, first.priority < read.priority) == (None, 0, True)
    assert len(await broker.attempts(TYPE, "victim")) == 1
    assert await audit(client, TYPE) == []


async def _answer(broker: Broker, *hosts: str) -> None:
    """Let one callback to each of these be taken."""
    for host in hosts:
        await granted_to(broker, host, f"first-{host}")
        await settle(broker, await claim_one(broker), HEALTHY)


async def test_strangers_that_fail_are_no_outage_while_anyone_answers(broker: Broker) -> None:
    """A client who names dead receivers by the dozen is charged for each: their breakers open."""
    await _answer(broker, "well")
    await _outage(broker, "a", "b", "c", "d")
    assert not (await broker.destinations(TYPE))[0]
    destination = await opened(broker, "e", "e")
    assert (await known(broker, destination)).state == "open"


async def test_an_outage_ends_when_they_answer(broker: Broker) -> None:
    """Each that answers is open to grants at once, and with fewer than three the outage is over."""
    await _answer(broker, "a", "b", "c", "d")
    await _outage(broker, "a", "b", "c", "d")
    for host in ("d", "c"):  # those that were never charged
        assert (await broker.destinations(TYPE))[0]
        await granted_to(broker, host, f"again-{host}")
        await settle(broker, await claim_one(broker), HEALTHY)
        assert f"http://{host}:80" not in (await broker.view(TYPE)).closed
    assert not (await broker.destinations(TYPE))[0]
    assert (await broker.view(TYPE)).closed == frozenset()


async def test_two_dead_ones_are_no_outage(broker: Broker) -> None:
    """A broker with few destinations charges each of them: fewer than three prove nothing."""
    await opened(broker, "a", "a")
    await opened(broker, "b", "b")
    outage, seen = await broker.destinations(TYPE)
    assert not outage
    assert {each.state for each in seen} == {"open"}


async def test_an_open_one_stays_closed_to_grants_in_an_outage(
    client: Redis, broker: Broker
) -> None:
    """Its failures may be older than a minute: the planner must still not plan for it."""
    destination = await opened(broker, "old", "old")
    await client.zrem(KEYS.of("failing"), destination)
    names = await _outage(broker, "a", "b", "c")
    assert (await broker.view(TYPE)).closed == {destination, *names}


# Everything expires


async def test_what_is_known_of_a_destination_is_forgotten(client: Redis, broker: Broker) -> None:
    """A day after its last grant or failure a destination leaves no key behind."""
    destination = await opened(broker, "x", "a")
    late = Delivery(await broker.read(TYPE, "a"), 9)
    await settle(broker, late, Settlement("release", slow_down=9.0))
    await broker.withdraw(TYPE, "a")
    await broker.sweep(TYPE)
    assert (await known(broker)).state == "open"
    await client.zadd(KEYS.of("destinations"), {destination: 1})
    await client.zadd(KEYS.of("failing"), {destination: 1})
    await broker.sweep(TYPE)
    assert await broker.destinations(TYPE) == (False, [])
    assert (await broker.view(TYPE)).closed == frozenset()
    left = [name async for name in client.scan_iter(match="*") if destination in name]
    assert left == []
    assert await client.exists(KEYS.of("open"), KEYS.of("failing"), KEYS.of("parked")) == 0


async def test_trouble_keeps_a_destination_from_being_forgotten(
    client: Redis, broker: Broker
) -> None:
    """One that still fails, a day after its last grant, keeps its open breaker."""
    await granted_to(broker, "x", "a")
    await client.zadd(KEYS.of("destinations"), {HERE: 1})
    for _ in range(5):
        await settle(broker, await claim_one(broker), UNHEALTHY)
    await broker.sweep(TYPE)
    assert (await known(broker)).state == "open"
