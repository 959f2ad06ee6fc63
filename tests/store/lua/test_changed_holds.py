"""changed_holds.lua: what changed among the jobs that hold, read from the stream of events."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, ChangedHolds
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, grant, publish, submit

KEYS = Keys(TYPE)


async def newest(broker: Broker) -> str:
    return (await broker.changed_holds(TYPE, None)).last


async def test_each_job_that_changed_is_read_once(broker: Broker) -> None:
    """A job that holds now is a hold, any other has ended, whatever happened in between."""
    await publish(broker)
    last = await newest(broker)
    assert last == ""
    await submit(broker, "waits")
    last = await newest(broker)
    for name in ("a", "b", "c", "e"):
        await bring(broker, Status.RUNNING, name)
    await bring(broker, Status.GRANTED, "d")
    await broker.transition(TYPE, "b", Status.DONE)
    await broker.transition(TYPE, "c", Status.QUEUED)
    await broker.withdraw(TYPE, "e")
    changes = await broker.changed_holds(TYPE, last)
    assert (changes.is_known, changes.has_more) == (True, False)
    assert sorted(hold.request_id for hold in changes.holds) == ["a", "d"]
    assert sorted(changes.ended) == ["b", "c", "e"]
    again = await broker.changed_holds(TYPE, changes.last)
    assert again == ChangedHolds(changes.last, True, False, [], [])


async def test_events_are_read_in_parts(broker: Broker) -> None:
    """At most `limit` events are read; the next part begins behind them."""
    await submit(broker, "first")
    last = await newest(broker)
    for name in ("a", "b", "c"):
        await submit(broker, name)
    changes = await broker.changed_holds(TYPE, last, limit=2)
    assert (changes.ended, changes.has_more) == (["a", "b"], True)
    changes = await broker.changed_holds(TYPE, changes.last, limit=2)
    assert (changes.ended, changes.has_more) == (["c"], False)


@pytest.mark.parametrize("how", ["trimmed", "restored", "emptied"])
async def test_missing_events_are_noticed(broker: Broker, client: Redis, how: str) -> None:
    """Where the last event read is gone, nothing is known of what changed since."""
    await publish(broker)
    await grant(broker, await submit(broker))
    last = await newest(broker)
    if how == "trimmed":
        await broker.transition(TYPE, "d", Status.DONE)
        await client.xtrim(KEYS.of("events"), maxlen=1, approximate=False)
    elif how == "restored":
        await client.xdel(KEYS.of("events"), last)
    else:
        await client.flushall()
    changes = await broker.changed_holds(TYPE, last)
    assert changes == ChangedHolds(await newest(broker), False, False, [], [])
