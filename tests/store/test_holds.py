"""holds.py: how long ended jobs held, read on from what was read before."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain.holding_times import Observation, demand_key
from rq_broker.domain.jobs import Status
from rq_broker.store import holds
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, grant, publish, shape, submit

STREAM = Keys(TYPE).of("holding_times")


async def end(broker: Broker, client: Redis, name: str, expected: float | None = None) -> None:
    """Let a job hold, whose size class is its name, and end."""
    await publish(broker)
    await grant(broker, await submit(broker, name, expected=expected))
    kept: Any = {"demand_key": "demand", "size": name}
    await client.hset(Keys(TYPE).of("job", name), mapping=kept)
    await broker.transition(TYPE, name, Status.DONE)


def sizes(ended: tuple[Observation, ...]) -> list[int]:
    return [hold.size for hold in ended]


@pytest.mark.parametrize("page", [1, 2, 1000])
async def test_holding_times_are_read_on(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Each read has what ended since the one before, in order, in as many commands as it takes."""
    monkeypatch.setattr(holds, "_ENTRIES", page)
    nothing = await broker.holding_times(TYPE)
    assert (nothing.holds, nothing.last, nothing.is_whole) == ((), None, True)
    for name in ("0", "1", "2"):
        await end(broker, client, name)
    first = await broker.holding_times(TYPE, nothing.last)
    assert (sizes(first.holds), first.is_whole) == ([0, 1, 2], True)
    same = await broker.holding_times(TYPE, first.last)
    assert (same.holds, same.last, same.is_whole) == ((), first.last, False)
    await end(broker, client, "3", expected=60.5)
    then = await broker.holding_times(TYPE, first.last)
    assert (sizes(then.holds), then.is_whole) == ([3], False)
    (hold,) = then.holds
    assert (hold.owner, hold.demand, hold.expected) == ("o", "demand", 60.5)
    assert 0 <= hold.seconds < 60


@pytest.mark.parametrize(
    ("before", "during", "kept"),
    [
        (60.0, [7200.0], 60.0),
        (7200.0, [60.0, 3600.0], 60.0),
        (60.0, [None], 60.0),
        (None, [60.0, None, 7200.0], 60.0),
        (None, [None], None),
    ],
)
async def test_the_least_that_a_job_said_while_it_held_is_kept(
    broker: Broker,
    client: Redis,
    before: float | None,
    during: list[float | None],
    kept: float | None,
) -> None:
    """An owner is measured by its promises, not by what it admits at the end."""
    await publish(broker)
    await grant(broker, await submit(broker, expected=before))
    for expected in during:
        await broker.set_expected(TYPE, "d", expected)
    await client.hset(Keys(TYPE).of("job", "d"), "size", "0")
    await client.hset(Keys(TYPE).of("job", "d"), "demand_key", "demand")
    await broker.transition(TYPE, "d", Status.DONE)
    (hold,) = (await broker.holding_times(TYPE)).holds
    assert hold.expected == kept
    assert await client.hget(Keys(TYPE).of("job", "d"), "least_expected") is None


async def test_after_a_trim_or_a_restore_all_that_is_kept_is_read(
    broker: Broker, client: Redis
) -> None:
    """Without the entry that was read last, the answer is whole and says so."""
    for name in ("0", "1", "2"):
        await end(broker, client, name)
    last = (await broker.holding_times(TYPE)).last
    await end(broker, client, "3")
    await client.xtrim(STREAM, maxlen=1, approximate=False)
    trimmed = await broker.holding_times(TYPE, last)
    assert (sizes(trimmed.holds), trimmed.is_whole) == ([3], True)
    await client.flushall()
    emptied = await broker.holding_times(TYPE, trimmed.last)
    assert (emptied.holds, emptied.last, emptied.is_whole) == ((), None, True)


async def test_holds_whose_size_was_not_kept_are_left_out(broker: Broker, client: Redis) -> None:
    """Nothing can be learned of a hold that an earlier version granted without these fields."""
    await bring(broker, Status.RUNNING)
    await client.hdel(Keys(TYPE).of("job", "d"), "demand_key", "size")
    await broker.transition(TYPE, "d", Status.DONE)
    read = await broker.holding_times(TYPE)
    assert read.holds == ()
    assert read.last is not None


async def test_a_holding_time_tells_whose_and_what_it_was(broker: Broker, client: Redis) -> None:
    """An ended hold is kept with its owner, demand, size and what it said; the old list goes."""
    await client.rpush(Keys(TYPE).of("history"), "1000")
    await publish(broker)
    job = await submit(broker, expected=60.0)
    assert await grant(broker, job, predicted=1.0)
    await broker.transition(TYPE, "d", Status.DONE)
    entries: Any = await client.xrange(STREAM)
    ((_, entry),) = entries
    assert int(entry.pop("milliseconds")) >= 0
    assert entry == {
        "owner": "o",
        "demand_key": demand_key(shape().demand),
        "size": "-3",
        "expected": "60000",
    }
    assert await client.exists(Keys(TYPE).of("history")) == 0


@pytest.mark.parametrize("to", [Status.QUEUED, Status.ERROR, None])
async def test_an_offer_that_was_not_taken_up_is_no_holding_time(
    broker: Broker, client: Redis, to: Status | None
) -> None:
    """A granted job that is requeued, fails or is withdrawn tells nothing of how long jobs hold."""
    await bring(broker, Status.GRANTED)
    if to:
        await broker.transition(TYPE, "d", to)
    else:
        await broker.withdraw(TYPE, "d")
    assert await client.exists(STREAM) == 0
