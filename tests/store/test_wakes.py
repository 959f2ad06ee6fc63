"""Wake-ups: what scripts publish, and how a subscription is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store import wakes
from rq_broker.store.broker import Broker, Settlement, Wake
from rq_broker.store.keys import WAKE_CHANNEL, Keys
from tests.listening import beating
from tests.making import TYPE, bring, claim_one, grant, publish, settle, submit
from tests.redis_reads import members
from tests.store.lua.breaking import open_breaker

NAME = "me"


class Heard:
    """The wake-ups heard so far."""

    def __init__(self) -> None:
        self.queue = asyncio.Queue[Wake]()
        self.subscriptions = asyncio.Semaphore(0)

    async def next(self) -> Wake:
        async with asyncio.timeout(10):
            return await self.queue.get()

    async def until(self, marker: str) -> Wake:
        while (wake := await self.next()).marker != marker:
            pass
        return wake


@asynccontextmanager
async def listening(broker: Broker) -> AsyncIterator[Heard]:
    heard = Heard()
    async with beating(broker, NAME):
        task = asyncio.create_task(
            broker.listen(NAME, heard.queue.put_nowait, heard.subscriptions.release)
        )
        async with asyncio.timeout(10):
            await heard.subscriptions.acquire()
        try:
            yield heard
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, errors.Unavailable):
                await task


@pytest.mark.parametrize("type_", ["vm", "虛擬機", "a b 0 0", "100%"])
async def test_a_submit_wakes_the_granters_of_its_type(broker: Broker, type_: str) -> None:
    """A job that may be granted is published with its type, whatever the type's name is."""
    async with listening(broker) as heard:
        await submit(broker, type_=type_)
        assert await heard.next() == Wake(type_, "grant")


async def test_work_is_published_once_until_it_begins(broker: Broker) -> None:
    """A second job of another shape publishes nothing; one after the pass has begun does."""
    async with listening(broker) as heard:
        await submit(broker, "a")
        await submit(broker, "b", owner_id="p")
        await submit(broker, "other", "kube")
        assert [await heard.next(), await heard.next()] == [
            Wake(TYPE, "grant"),
            Wake("kube", "grant"),
        ]
        assert await broker.has_marker(TYPE, "grant")
        await broker.turn(TYPE, NAME, "take", 1.0)
        assert not await broker.has_marker(TYPE, "grant")
        await submit(broker, "c", owner_id="q")
        assert await heard.next() == Wake(TYPE, "grant")


async def test_a_grant_wakes_couriers_and_tells_of_the_end_of_its_offer(broker: Broker) -> None:
    """The callback is due at once; the first deadline of a type is told to who watches it."""
    await broker.set_policy(TYPE, {"offer": 100.0})
    await publish(broker)
    async with listening(broker) as heard:
        await grant(broker, await submit(broker, "a"))
        sweep = await heard.until("sweep")
        assert 99 < sweep.delay <= 100
        assert await heard.next() == Wake(TYPE, "deliver")
        await grant(broker, await submit(broker, "b"))
        await broker.claim(TYPE, 60.0, 100)
        await submit(broker, "last", "kube")
        assert await heard.next() == Wake("kube", "grant")


async def test_a_deadline_that_is_over_wakes_at_once(broker: Broker) -> None:
    """A job that is withdrawn at its end wakes a sweep, which leaves a marker for helpers."""
    await broker.set_policy(TYPE, {"retention": 0.0})
    await broker.sweep(TYPE)  # it counts deadlines anew, of which there are none
    async with listening(broker) as heard:
        await bring(broker, Status.DONE)
        assert await heard.until("sweep") == Wake(TYPE, "sweep")
        assert await broker.has_marker(TYPE, "sweep")
        await broker.sweep(TYPE)
        assert not await broker.has_marker(TYPE, "sweep")


async def test_a_retry_is_told_to_who_watches_deliveries(broker: Broker) -> None:
    """An attempt that is to be repeated is published with the time until it is."""
    await bring(broker, Status.GRANTED)
    async with listening(broker) as heard:
        delivery = await claim_one(broker)
        await settle(broker, delivery, Settlement("retry", "timeout", delay=20.0))
        wake = await heard.until("deliver")
        assert 19 < wake.delay <= 20


async def test_callbacks_left_to_others_are_published_as_such(broker: Broker) -> None:
    """A claim without slots for unproven destinations leaves their callbacks to other couriers."""
    await bring(broker, Status.GRANTED)
    async with listening(broker) as heard:
        assert (await broker.claim(TYPE, 60.0, 10, unproven=0))[1] == []
        assert await heard.next() == Wake(TYPE, "unproven")
        assert not await broker.has_marker(TYPE, "deliver")
        assert len((await broker.claim(TYPE, 60.0, 10))[1]) == 1
        assert not await broker.has_marker(TYPE, "unproven")


async def test_a_breaker_wakes_granters_when_it_is_half_open(broker: Broker, client: Redis) -> None:
    """An open breaker is a deadline: the sweep at its end wakes the granters."""
    await broker.set_policy(TYPE, {"offer": None})
    async with listening(broker) as heard:
        destination = await open_breaker(broker, "dead", "a", "b")
        (name,) = await members(client, Keys(TYPE).of("later"))
        assert name.startswith(f"grant:{destination}")
        await client.zadd(Keys(TYPE).of("later"), {name: 1})
        await broker.turn(TYPE, NAME, "take", 1.0)
        await broker.sweep(TYPE)
        while await heard.until("grant") and not await broker.has_marker(TYPE, "grant"):
            pass
        assert await client.zscore(Keys(TYPE).of("later"), name) is None


async def test_messages_of_nobody_we_know_are_passed_over(broker: Broker, client: Redis) -> None:
    """Whatever else is published on the channel ends no subscription."""
    async with listening(broker) as heard:
        for text in ("", "vm", "vm grant x 0", "vm dance 0 0", "vm grant 0 0 0 0 grant"):
            await client.publish(WAKE_CHANNEL, text)
        await broker.hand_over(TYPE, "deliver", 1)
        assert await heard.next() == Wake(TYPE, "deliver", level=1)


async def test_a_subscription_without_own_beats_is_given_up(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that carries others' messages only is given up; the log tells when it begins and ends."""
    monkeypatch.setattr(wakes, "SILENCE_SECONDS", 0.2)
    async with beating(broker, "another"), asyncio.timeout(10):
        for _ in range(2):
            with pytest.raises(errors.Unavailable, match="carries no messages"):
                await broker.listen(NAME, lambda _: None, lambda: None)
        assert [text for text in caplog.messages if "carries" in text] == [caplog.messages[0]]
        async with listening(broker):
            while len(caplog.messages) < 2:
                await asyncio.sleep(0.01)
    assert "carries messages again" in caplog.messages[1]
