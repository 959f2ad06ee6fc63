"""lib/destination.lua: outages, in which most destinations fail; and destinations forgotten."""

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
    KEYS,
    RECEIVER,
    UNHEALTHY,
    claim_due,
    destination_state,
    grant_at,
    open_breaker,
)

NO_NAME = Settlement("retry", "dns", 1, 60, "unhealthy")


async def _outage(broker: Broker, *hosts: str) -> list[str]:
    """Let one callback to each of these hosts fail."""
    destinations = []
    for host in hosts:
        destinations.append(await grant_at(broker, host, host))
        await settle(broker, await claim_one(broker), NO_NAME)
    return destinations


async def test_an_outage_opens_no_breaker(client: Redis, broker: Broker) -> None:
    """While most destinations fail, no failure is counted against any of them."""
    names = await _outage(broker, "a", "b", "c", "d")
    assert (await broker.destinations(TYPE))[0]
    before = {
        destination.name: destination.failures
        for destination in (await broker.destinations(TYPE))[1]
    }
    for _ in range(10):
        for member in await members(client, KEYS.of("deliveries")):
            await client.zadd(KEYS.of("deliveries"), {member: 0})
        for delivery in await claim_due(broker):
            await settle(broker, delivery, NO_NAME)
    outage, destinations = await broker.destinations(TYPE)
    assert outage
    assert {destination.name: destination.failures for destination in destinations} == before
    assert {destination.state for destination in destinations} == {"closed"}
    assert (await broker.type_state(TYPE)).failing == set(names)
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("how", ["settled", "swept"])
async def test_an_offer_that_ends_in_an_outage_requeues_its_job(
    client: Redis, broker: Broker, how: str
) -> None:
    """The job is back at its place in the queue, whether a settlement or a sweep ends the offer."""
    first = await submit(broker, "front")
    job = await bring(broker, Status.GRANTED, "victim")
    delivery = await claim_one(broker, lease=0.5)
    await _outage(broker, "a", "b", "c")
    await broker.set_policy(TYPE, {"offer": 30 if how == "settled" else 0.5})
    if how == "settled":
        await broker.sweep(TYPE)
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
    """Let each of these hosts answer one callback."""
    for host in hosts:
        await grant_at(broker, host, f"first-{host}")
        await settle(broker, await claim_one(broker), HEALTHY)


async def test_destinations_that_never_answered_make_no_outage(broker: Broker) -> None:
    """While one destination answers, dozens of dead ones open their breakers, each its own."""
    await _answer(broker, "well")
    await _outage(broker, "a", "b", "c", "d")
    assert not (await broker.destinations(TYPE))[0]
    destination = await open_breaker(broker, "e", "e")
    assert (await destination_state(broker, destination)).state == "open"


async def test_an_outage_ends_as_destinations_answer(broker: Broker) -> None:
    """A destination that answers gets grants at once; fewer than three failing are no outage."""
    await _answer(broker, "a", "b", "c", "d")
    await _outage(broker, "a", "b", "c", "d")
    for host in ("d", "c"):  # whose failures were not counted
        assert (await broker.destinations(TYPE))[0]
        await grant_at(broker, host, f"again-{host}")
        await settle(broker, await claim_one(broker), HEALTHY)
        assert f"http://{host}:80" not in (await broker.type_state(TYPE)).closed
    assert not (await broker.destinations(TYPE))[0]
    assert (await broker.type_state(TYPE)).closed == frozenset()


async def test_two_failing_destinations_are_no_outage(broker: Broker) -> None:
    """Where only two destinations fail, failures count against each and its breaker opens."""
    await open_breaker(broker, "a", "a")
    await open_breaker(broker, "b", "b")
    outage, destinations = await broker.destinations(TYPE)
    assert not outage
    assert {destination.state for destination in destinations} == {"open"}


async def test_an_outage_does_not_open_a_destination_to_grants(
    client: Redis, broker: Broker
) -> None:
    """A breaker opened more than a minute before the outage still keeps grants away."""
    destination = await open_breaker(broker, "old", "old")
    await client.zrem(KEYS.of("failing"), destination)
    names = await _outage(broker, "a", "b", "c")
    state = await broker.type_state(TYPE)
    assert state.closed == {f"{destination} o"}
    assert state.failing == set(names)


# Destinations are forgotten


async def test_an_unused_destination_is_forgotten(client: Redis, broker: Broker) -> None:
    """A day after its last grant or failure a destination leaves no key behind."""
    destination = await open_breaker(broker, "x", "a")
    late = Delivery(await broker.read(TYPE, "a"), 9)
    await settle(broker, late, Settlement("release", slow_down=9.0))
    await broker.withdraw(TYPE, "a")
    await broker.sweep(TYPE)
    assert (await destination_state(broker)).state == "open"
    await client.zadd(KEYS.of("destinations"), {RECEIVER: 1})
    await client.zadd(KEYS.of("failing"), {destination: 1})
    await broker.sweep(TYPE)
    assert await broker.destinations(TYPE) == (False, [])
    assert (await broker.type_state(TYPE)).closed == frozenset()
    left = [name async for name in client.scan_iter(match="*") if destination in name]
    assert left == []
    assert await client.exists(KEYS.of("open"), KEYS.of("failing"), KEYS.of("parked")) == 0


async def test_a_failing_destination_is_not_forgotten(client: Redis, broker: Broker) -> None:
    """A destination that fails a day after its last grant keeps its open breaker."""
    await grant_at(broker, "x", "a")
    await client.zadd(KEYS.of("destinations"), {RECEIVER: 1})
    for _ in range(5):
        await settle(broker, await claim_one(broker), UNHEALTHY)
    await broker.sweep(TYPE)
    assert (await destination_state(broker)).state == "open"
