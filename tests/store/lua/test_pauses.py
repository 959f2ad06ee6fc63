"""Receivers that ask for time by Retry-After, through the broker's verbs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from rq_broker.admission.granter import Granter
from rq_broker.admission.snapshot import read_snapshot
from rq_broker.delivery.outcome import Outcome
from rq_broker.delivery.retry import settlement
from rq_broker.planner import ReasonCode, plan
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from rq_broker.worker.janitor import Janitor
from tests.making import TYPE, claim_one, grant, grant_to, queue, settle, shape, submit
from tests.store.lua.breaking import (
    HEALTHY,
    HERE,
    KEYS,
    RECEIVER,
    claim_due,
    destination_state,
    grant_at,
)

BUSY = settlement(1, Outcome("retry", "http_503", 1, unhealthy=True, retry_after=600.0))


async def _end_pause(client: Redis, receiver: str = RECEIVER) -> None:
    """Let the time that a receiver asked for pass."""
    await client.hset(KEYS.of("destination", receiver), "asked_until", "1")
    await client.hdel(KEYS.of("destination", receiver), "slow_until")
    await client.zadd(KEYS.of("asked"), {receiver: 1})
    await client.zadd(KEYS.of("later"), {f"grant:asked:{receiver}": 1})


@pytest.mark.parametrize("offer", [300, 3600, None])
async def test_a_receiver_that_asks_for_time_gets_it(
    client: Redis, broker: Broker, offer: int | None
) -> None:
    """All its jobs are back at their places, hold nothing, and none is granted until then."""
    await broker.set_policy(TYPE, {"offer": offer})
    names = [f"d{n}" for n in range(8)]
    await grant_at(broker, "x", *names)
    await broker.set_policy(TYPE, {"concurrency": 3})
    waiting = await submit(broker, "behind")
    claimed = await claim_due(broker)
    assert len(claimed) == 3
    for delivery in claimed:
        assert await settle(broker, delivery, BUSY) == "queued"
    assert await claim_due(broker) == []
    await Janitor(broker, TYPE).run_once()
    assert await queue(broker) == [*names, "behind"]
    assert (await broker.host(TYPE, "h1")).held == {}
    assert {(await broker.read(TYPE, name)).error for name in names} == {None}
    assert await grant(broker, waiting) is None
    assert await Granter(broker, TYPE).run_once() == 0
    state = await destination_state(broker)
    assert (state.state, state.failures, state.parked) == ("closed", 0, 0)
    assert 590 < state.asked_for <= 600
    assert await audit(client, TYPE) == []
    await _end_pause(client)
    await Janitor(broker, TYPE).run_once()
    assert await Granter(broker, TYPE).run_once() > 0
    for delivery in await claim_due(broker):
        assert await settle(broker, delivery, HEALTHY) == "running"
    assert await audit(client, TYPE) == []


async def test_the_reason_tells_until_when(broker: Broker) -> None:
    """A waiting job's reason names the destination and the time, and has a code of its own."""
    await grant_at(broker, "x", "a")
    waiting = await submit(broker, "b")
    await settle(broker, await claim_one(broker), BUSY)
    snapshot = (await read_snapshot(broker, TYPE)).snapshot
    reason = plan(snapshot).reasons[waiting.shape]
    until = datetime.fromtimestamp(snapshot.asked[RECEIVER], UTC)
    assert abs(snapshot.asked[RECEIVER] - snapshot.now - 600) < 10
    assert reason.code is ReasonCode.DESTINATION_ASKED
    assert reason.text.startswith(f"destination asked to wait until {until:%Y-%m-%dT%H:%M:%SZ}")
    assert HERE in reason.text


async def test_a_short_pause_keeps_the_capacity(client: Redis, broker: Broker) -> None:
    """If a receiver asks for seconds, its jobs keep their grants and are called after them."""
    await grant_at(broker, "x", "a", "b")
    first, second = await claim_due(broker)
    asked = settlement(1, Outcome("retry", "http_429", 1, retry_after=0.3))
    assert await settle(broker, first, asked) == "granted"
    assert await settle(broker, second, Settlement("retry", "timeout")) == "granted"
    await grant_to(broker, "http://y:80", "other")
    assert [delivery.job.request_id for delivery in await claim_due(broker)] == ["other"]
    assert await claim_due(broker) == []
    await asyncio.sleep(1.5)
    await Janitor(broker, TYPE).run_once()
    called = {delivery.job.request_id for delivery in await claim_due(broker)}
    assert called <= {"a", "b"}
    assert called
    assert await audit(client, TYPE) == []


async def test_an_offer_that_ends_in_a_pause_is_no_error(client: Redis, broker: Broker) -> None:
    """A sweep that finds the offer's end puts the job back in the queue."""
    await broker.set_policy(TYPE, {"offer": 0.3})
    await grant_at(broker, "x", "a", "b")
    delivery = (await claim_due(broker, 1, lease=0.2))[0]
    assert await settle(broker, delivery, BUSY) == "queued"
    await asyncio.sleep(0.4)
    await broker.sweep(TYPE)
    assert await queue(broker) == ["a", "b"]
    assert await audit(client, TYPE) == []


async def test_other_owners_and_destinations_are_not_paused(broker: Broker) -> None:
    """Only jobs of the owner that was asked, at that destination, wait."""
    await grant_at(broker, "x", "a")
    await settle(broker, await claim_one(broker), BUSY)
    await grant_to(broker, HERE, "b", owner="p")
    await grant_to(broker, HERE, "c", owner="")
    await grant_to(broker, "http://y:80", "d")
    assert {delivery.job.request_id for delivery in await claim_due(broker)} == {"b", "c", "d"}


async def test_a_reset_ends_a_pause(client: Redis, broker: Broker) -> None:
    """After an operator's reset of the destination its jobs are granted and called again."""
    await grant_at(broker, "x", "a")
    waiting = await submit(broker, "b")
    await settle(broker, await claim_one(broker), BUSY)
    await broker.reset(TYPE, HERE)
    assert (await destination_state(broker)).asked_for == 0
    assert (await broker.type_state(TYPE)).closed == frozenset()
    assert await grant(broker, waiting) is not None
    assert len(await claim_due(broker)) == 1
    assert await audit(client, TYPE) == []


async def test_the_longest_pause_asked_for_counts(broker: Broker) -> None:
    """A later answer that asks for less does not shorten the pause."""
    await grant_at(broker, "x", "a", "b")
    shorter = settlement(1, Outcome("retry", "http_429", 1, retry_after=1.0))
    for delivery, decision in zip(await claim_due(broker), (BUSY, shorter), strict=True):
        await settle(broker, delivery, decision)
    assert (await destination_state(broker)).asked_for > 590


@pytest.mark.parametrize("cause", ["http_503", "http_429"])
async def test_without_retry_after_nothing_is_paused(broker: Broker, cause: str) -> None:
    """Such a job is tried again while it keeps its capacity, as ever."""
    await grant_at(broker, "x", "a")
    decision = settlement(1, Outcome("retry", cause, 1, unhealthy=cause == "http_503"))
    assert await settle(broker, await claim_one(broker), decision) == "granted"
    assert (await destination_state(broker)).asked_for == 0
    assert await grant(broker, await submit(broker, "b", shape=shape())) is not None
