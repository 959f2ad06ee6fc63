"""destinations.lua, and the breaker behind it: what is known of receivers."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from rq_broker.domain.jobs import Job, Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.deliveries import Settlement
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, claim_one, grant, settle, submit
from tests.store.lua.breaking import UNHEALTHY, granted_to

HERE = "http://x:80"


async def fail(broker: Broker, times: int) -> None:
    """Let one delivery time out a number of times in a row."""
    for _ in range(times):
        await settle(broker, await claim_one(broker), UNHEALTHY)


async def test_a_destination_is_known_from_its_first_grant(broker: Broker) -> None:
    """It is listed with what is in flight and with its failures in a row."""
    assert await broker.destinations(TYPE) == (False, [])
    await bring(broker, Status.GRANTED)
    await fail(broker, 2)
    await claim_one(broker)
    outage, (found,) = await broker.destinations(TYPE)
    assert not outage
    assert (found.name, found.state, found.failures, found.in_flight) == (HERE, "closed", 2, 1)


async def test_the_open_and_the_latest_are_listed_first(broker: Broker, client: Redis) -> None:
    """Of very many some are listed: those in trouble, then those called last; none if so asked."""
    for name in "abcd":
        await granted_to(broker, name, name)
        await asyncio.sleep(0.002)
    await client.zadd(Keys(TYPE).of("open"), {"http://b:80": 10**15})
    for limit, shown in ((9, "bdca"), (3, "bdc"), (1, "b"), (0, "")):
        outage, found = await broker.destinations(TYPE, limit)
        assert not outage
        assert [each.name for each in found] == [f"http://{name}:80" for name in shown]


async def test_five_failures_in_a_row_open_it(broker: Broker, client: Redis) -> None:
    """Then its callbacks are parked, out of the others' way, and no grant is made to it."""
    await bring(broker, Status.GRANTED)
    await fail(broker, 5)
    assert (await broker.claim(TYPE, 60.0, 10))[1] == []
    _, (found,) = await broker.destinations(TYPE)
    assert (found.state, found.failures, found.parked) == ("open", 5, 1)
    assert 0 < found.opens_for <= 5.0
    waiting: Job = await submit(broker, "e")
    assert await grant(broker, waiting) is None
    assert await audit(client, TYPE) == []


async def test_one_success_wipes_the_failures(broker: Broker) -> None:
    """Four failures, one answer, four failures: it stays closed."""
    await bring(broker, Status.GRANTED)
    await fail(broker, 4)
    await settle(broker, await claim_one(broker), Settlement("retry", "http_404", health="healthy"))
    await fail(broker, 4)
    assert (await broker.destinations(TYPE))[1][0].state == "closed"


async def test_no_more_fly_at_once_than_the_policy_allows(broker: Broker, client: Redis) -> None:
    """Past the concurrency callbacks wait parked, and each that lands lets the next go."""
    await broker.set_policy(TYPE, {"concurrency": 2})
    for name in ("a", "b", "c"):
        await bring(broker, Status.GRANTED, name)
    first, second = (await broker.claim(TYPE, 60.0, 10))[1]
    assert (await broker.destinations(TYPE))[1][0].parked == 1
    assert await audit(client, TYPE) == []
    await settle(broker, first, Settlement("delivered", health="healthy"))
    third = await claim_one(broker)
    names = {each.job.request_id for each in (first, second, third)}
    assert names == {"a", "b", "c"}
