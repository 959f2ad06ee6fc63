"""destinations.lua: how operators see destinations and their breakers."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from rq_broker.domain.jobs import Job, Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.deliveries import Settlement
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, claim_one, grant, settle, submit
from tests.store.lua.breaking import UNHEALTHY, grant_at

HERE = "http://x:80"


async def fail(broker: Broker, times: int) -> None:
    """Let one delivery time out a number of times in a row."""
    for _ in range(times):
        await settle(broker, await claim_one(broker), UNHEALTHY)


async def test_a_destination_is_listed_from_its_first_grant(broker: Broker) -> None:
    """The list has its callbacks in flight and its failures in a row."""
    assert await broker.destinations(TYPE) == (False, [])
    await bring(broker, Status.GRANTED)
    await fail(broker, 2)
    await claim_one(broker)
    outage, (destination,) = await broker.destinations(TYPE)
    assert not outage
    assert (destination.name, destination.state) == (HERE, "closed")
    assert (destination.failures, destination.in_flight) == (2, 1)


async def test_open_breakers_and_the_latest_used_are_listed_first(
    broker: Broker, client: Redis
) -> None:
    """A limit keeps open breakers, then the latest used destinations; 0 lists none."""
    for name in "abcd":
        await grant_at(broker, name, name)
        await asyncio.sleep(0.002)
    await client.zadd(Keys(TYPE).of("open"), {"http://b:80 o": 10**15})
    for limit, shown in ((9, "bdca"), (3, "bdc"), (1, "b"), (0, "")):
        outage, destinations = await broker.destinations(TYPE, limit)
        assert not outage
        names = [destination.name for destination in destinations]
        assert names == [f"http://{name}:80" for name in shown]


async def test_five_failures_in_a_row_open_the_breaker(broker: Broker, client: Redis) -> None:
    """Then its callbacks are parked, and no job is granted that would be called there."""
    await bring(broker, Status.GRANTED)
    await fail(broker, 5)
    assert (await broker.claim(TYPE, 60.0, 10))[1] == []
    _, (destination,) = await broker.destinations(TYPE)
    assert (destination.state, destination.failures, destination.parked) == ("open", 5, 1)
    assert 0 < destination.opens_for <= 5.0
    waiting: Job = await submit(broker, "e")
    assert await grant(broker, waiting) is None
    assert await audit(client, TYPE) == []


async def test_one_answer_ends_the_count_of_failures(broker: Broker) -> None:
    """After four failures, an answer and four failures the breaker is closed."""
    await bring(broker, Status.GRANTED)
    await fail(broker, 4)
    await settle(broker, await claim_one(broker), Settlement("retry", "http_404", health="healthy"))
    await fail(broker, 4)
    assert (await broker.destinations(TYPE))[1][0].state == "closed"


async def test_no_more_are_in_flight_than_the_policy_allows(broker: Broker, client: Redis) -> None:
    """Callbacks beyond the policy's concurrency are parked until one in flight is settled."""
    await broker.set_policy(TYPE, {"concurrency": 2})
    for name in ("a", "b", "c"):
        await bring(broker, Status.GRANTED, name)
    first, second = (await broker.claim(TYPE, 60.0, 10))[1]
    assert (await broker.destinations(TYPE))[1][0].parked == 1
    assert await audit(client, TYPE) == []
    await settle(broker, first, Settlement("delivered", health="healthy"))
    third = await claim_one(broker)
    names = {delivery.job.request_id for delivery in (first, second, third)}
    assert names == {"a", "b", "c"}
