"""due.lua: what work a type has, read from the sets that are the truth."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, Due, Settlement
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, claim_one, publish, settle, submit
from tests.store.lua.breaking import open_breaker

NOTHING = Due(frozenset(), None, None, waiting=False, unused=False)
WAKE = Keys(TYPE).of("wake")


async def test_a_type_that_never_was_is_unused(broker: Broker) -> None:
    """Nothing is due in a type without keys, and nothing is left of it."""
    assert await broker.due(TYPE) == Due(frozenset(), None, None, waiting=False, unused=True)


async def test_a_waiting_job_is_work_also_without_its_marker(broker: Broker, client: Redis) -> None:
    """A type with queued jobs waits for capacity, whether a wake-up tells of it or not."""
    await submit(broker)
    assert await broker.due(TYPE) == Due(
        frozenset({"grant"}), None, None, waiting=True, unused=False
    )
    await client.delete(WAKE)
    assert (await broker.due(TYPE)).waiting


async def test_the_next_deliveries_and_deadlines_are_told(broker: Broker) -> None:
    """The time until the next delivery is due, and until the next offer ends."""
    await broker.set_policy(TYPE, {"offer": 100.0, "running": None})
    await bring(broker, Status.GRANTED)
    due = await broker.due(TYPE)
    assert due.deliver == 0
    assert due.sweep is not None
    assert 90 < due.sweep <= 100
    await settle(broker, await claim_one(broker), Settlement("retry", "timeout", delay=50.0))
    delay = (await broker.due(TYPE)).deliver
    assert delay is not None
    assert 40 < delay <= 50


async def test_a_type_in_use_without_work_has_nothing_due(broker: Broker) -> None:
    """A type with a host, a policy or a running job is not unused."""
    await broker.set_policy(TYPE, {"running": None})
    await broker.sweep(TYPE)
    await bring(broker, Status.RUNNING)
    await broker.turn(TYPE, "me", "take", 1.0)  # as the granter does: it takes the marker
    await broker.claim(TYPE, 1.0, 1)
    assert await broker.due(TYPE) == NOTHING


async def test_an_open_breaker_is_a_deadline(broker: Broker) -> None:
    """The next sweep is due when a breaker becomes half-open: then grants may go there again."""
    await broker.set_policy(TYPE, {"offer": None})
    await publish(broker, VCPU=100)
    await open_breaker(broker, "dead", "a", "b")
    sweep = (await broker.due(TYPE)).sweep
    assert sweep is not None
    assert 3 < sweep <= 5
