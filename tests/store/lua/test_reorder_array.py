"""reorder_array.lua: one priority for the waiting jobs of an array."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.domain.terms import Terms
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.making import TYPE, array_submission, grant, publish, queue, submit


async def test_only_those_that_wait_move(broker: Broker, client: Redis) -> None:
    """A running job keeps its priority; one with the same name from another submit does as well."""
    await publish(broker)
    await broker.submit_array(TYPE, array_submission(4))
    assert await grant(broker, await broker.read(TYPE, "s[0]"))
    await broker.withdraw(TYPE, "s[1]")
    await submit(broker, "s[1]", callback="http://x/again", priority=3)
    granted = (await broker.read(TYPE, "s[0]")).priority
    assert await broker.reorder_array(await broker.read_array(TYPE, "s"), "priority", "7") == 7
    assert (await broker.read(TYPE, "s[0]")).priority == granted
    assert [(await broker.read(TYPE, name)).priority for name in await queue(broker)] == [3, 7, 7]
    await submit(broker, "first", priority=0)
    await broker.reorder_array(await broker.read_array(TYPE, "s"), "position", "front")
    assert await queue(broker) == ["s[2]", "s[3]", "first", "s[1]"]
    assert await audit(client, TYPE) == []


async def test_jobs_beside_the_line_take_a_priority(broker: Broker, client: Redis) -> None:
    """They join the line at it; it counts as their own, as after a reorder of one."""
    await submit(broker, "a", priority=1)
    await broker.submit_array(TYPE, array_submission(2, terms=Terms(after=("a",))))
    await broker.reorder_array(await broker.read_array(TYPE, "s"), "priority", "0")
    await submit(broker, "behind", priority=1)
    await broker.transition(TYPE, "a", Status.DONE)
    await broker.sweep(TYPE)
    assert await queue(broker) == ["s[0]", "s[1]", "behind"]
    assert await audit(client, TYPE) == []
