"""holders.lua: the jobs that hold capacity, and how long ended jobs held theirs."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain.holding_times import demand_key
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, grant, publish, shape, submit

KEYS = Keys(TYPE)


async def test_holders_are_the_jobs_that_hold(broker: Broker) -> None:
    """Granted and running jobs are listed, jobs that hold nothing are not."""
    for status in Status:
        await bring(broker, status, status)
    await bring(broker, Status.QUEUED, "by hand")
    await broker.transition(TYPE, "by hand", Status.RUNNING)
    holders = (await broker.holdings(TYPE)).holders
    assert {holder.request_id for holder in holders} == {"granted", "running"}
    assert {holder.owner_id for holder in holders} == {"o"}


async def test_history_grows_with_each_release(broker: Broker) -> None:
    """Each job that ran and releases its capacity adds how long it held it, in seconds."""
    assert (await broker.holdings(TYPE)).history == ()
    for name in ("d", "e"):
        await bring(broker, Status.RUNNING, name)
        await broker.withdraw(TYPE, name)
    history = (await broker.holdings(TYPE)).history
    assert len(history) == 2
    assert all(seconds >= 0 for seconds in history)


async def test_a_holding_time_tells_whose_and_what_it_was(broker: Broker, client: Redis) -> None:
    """An ended hold is kept with its owner, demand, size and what it said; the old list goes."""
    await client.rpush(KEYS.of("history"), "1000")
    await publish(broker)
    job = await submit(broker, expected=60.0)
    assert await grant(broker, job, predicted=1.0) == 1
    await broker.transition(TYPE, "d", Status.DONE)
    entries: Any = await client.xrange(KEYS.of("holding_times"))
    ((_, entry),) = entries
    assert int(entry.pop("milliseconds")) >= 0
    assert entry == {
        "owner": "o",
        "demand_key": demand_key(shape().demand),
        "size": "-3",
        "expected": "60000",
    }
    assert await client.exists(KEYS.of("history")) == 0


@pytest.mark.parametrize("to", [Status.QUEUED, Status.ERROR, None])
async def test_an_offer_that_was_not_taken_up_is_no_holding_time(
    broker: Broker, to: Status | None
) -> None:
    """A granted job that is requeued, fails or is withdrawn tells nothing of how long jobs hold."""
    await bring(broker, Status.GRANTED)
    if to:
        await broker.transition(TYPE, "d", to)
    else:
        await broker.withdraw(TYPE, "d")
    assert (await broker.holdings(TYPE)).history == ()
