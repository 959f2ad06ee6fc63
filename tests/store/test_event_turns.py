"""Turns: what many followers do at once leaves the loop to others in between."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise

import pytest
from redis.asyncio import Redis

from rq_broker.store import event_feed
from rq_broker.store.broker import Broker
from rq_broker.store.event_turns import AT_ONCE, EventTurns
from rq_broker.store.keys import Keys
from tests.making import TYPE, submit


async def test_others_are_served_between_turns() -> None:
    """However many turns are due, the loop comes round after a few; all come, in their order."""
    turns, taken, rounds = EventTurns(), list[int](), list[int]()
    for number in range(100):
        turns.add(partial(taken.append, number))
    while len(taken) < 100:
        await asyncio.sleep(0)
        rounds.append(len(taken))
    assert taken == [*range(100)]
    most = max(later - earlier for earlier, later in pairwise(rounds))
    assert most <= AT_ONCE


async def test_what_is_urgent_does_not_wait_for_the_rest() -> None:
    """A read that waits for one job is woken before a thousand streams; they go on meanwhile."""
    turns, taken = EventTurns(), list[str]()
    for _ in range(100):
        turns.add(partial(taken.append, "stream"))
    turns.add(partial(taken.append, "read"), is_urgent=True)
    await turns.over()
    assert taken.index("read") == 0
    assert len(taken) == 101
    await turns.over()  # nothing is due: no wait


async def test_a_burst_cuts_nobody_before_its_turn(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many streams, and more events at once than one of them keeps: those that read get all."""
    monkeypatch.setattr(event_feed, "MOST_KEPT", 20)
    monkeypatch.setattr(event_feed, "BATCH", 10)
    await submit(broker)

    async def read_all() -> int:
        async with broker.events.follow(TYPE) as follower:
            ready.release()
            count = 0
            async with asyncio.timeout(30):
                while count < 100 and not follower.is_ended:
                    await follower.wait()
                    count += len(follower.events())
        return count

    ready = asyncio.Semaphore(0)
    reading = [asyncio.create_task(read_all()) for _ in range(50)]
    for _ in reading:
        await ready.acquire()
    pipe = client.pipeline(transaction=True)
    for number in range(100):
        pipe.xadd(Keys(TYPE).of("events"), {"request_id": "x", "id": number, "status": "queued"})
    await pipe.execute()
    assert await asyncio.gather(*reading) == [100] * 50
