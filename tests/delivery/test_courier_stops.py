"""The courier when there is too much, when it is stopped, and when something is wrong."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from rq_broker.delivery import retry
from rq_broker.delivery.courier import Courier, Doubts
from rq_broker.domain import errors
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.couriers import (
    DOWN,
    GONE,
    OK,
    REJECTED,
    SLOTS,
    all_free,
    deliver_once,
    due,
    make,
    saying,
    silent,
)
from tests.making import TYPE, bring, grant, publish, submit

# Slots, stopping, trouble


async def test_more_is_due_than_there_are_slots(broker: Broker, slots: asyncio.Semaphore) -> None:
    """A courier goes on claiming while slots come free, never more at once than there are."""
    for number in range(11):
        await bring(broker, Status.GRANTED, f"d{number}")
    script = silent(OK)
    one = make(broker, script, slots)
    running = asyncio.create_task(one.run_once())
    async with asyncio.timeout(10):
        while len(script.urls) < SLOTS:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    assert len(script.urls) == SLOTS
    script.answer.set()
    await running
    await one.drain(10.0)
    assert sorted(script.urls) == sorted(f"http://x/d{number}" for number in range(11))
    assert (await broker.counts(TYPE))[Status.RUNNING] == 11
    assert all_free(slots)


async def test_slots_are_one_pool_over_all_types(broker: Broker, slots: asyncio.Semaphore) -> None:
    """Couriers of two types share the process's slots, and give back every one of them."""
    script, couriers = saying(OK, DOWN, GONE, OK, REJECTED, OK), []
    for type_ in ("vm", "kube"):
        for number in range(5):
            await bring(broker, Status.GRANTED, f"d{number}", type_)
        couriers.append(Courier(broker, type_, script, slots, batch=3))
    await asyncio.gather(*(each.run_once() for each in couriers))
    await asyncio.gather(*(each.drain(10.0) for each in couriers))
    assert len(script.urls) == 10
    assert all_free(slots)


async def test_a_stop_hands_back_what_is_on_its_way(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """Another courier gets it at once, and calls with the same delivery id."""
    job = await bring(broker, Status.GRANTED)
    script = silent(OK)
    one = make(broker, script, slots)
    await one.run_once()
    await one.drain(0.0)
    assert await due(client, job) <= await broker.now()
    assert all_free(slots)
    script.answer.set()
    await deliver_once(broker, script, slots)
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING
    assert len(script.ids) == 2
    assert len(set(script.ids)) == 1
    assert await audit(client, TYPE) == []


async def test_a_stop_lets_finish_what_can(broker: Broker, slots: asyncio.Semaphore) -> None:
    """What is answered within the grace is settled, not handed back."""
    await bring(broker, Status.GRANTED)
    script = silent(OK)
    one = make(broker, script, slots)
    await one.run_once()
    asyncio.get_running_loop().call_later(0.05, script.answer.set)
    await one.drain(10.0)
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING


async def test_draining_nothing_is_nothing(broker: Broker, slots: asyncio.Semaphore) -> None:
    """A courier with nothing on its way stops at once."""
    await make(broker, saying(OK), slots).drain(10.0)


async def _away(*_: object) -> None:
    raise errors.Unavailable("Redis does not answer")


async def test_no_slot_leaks_when_the_store_is_away(
    client: Redis, monkeypatch: pytest.MonkeyPatch, slots: asyncio.Semaphore
) -> None:
    """A claim that fails gives its slots back, and so does a settle; the lease then sends again."""
    broker = Broker(client)
    await bring(broker, Status.GRANTED)
    one = make(broker, saying(OK), slots)
    with monkeypatch.context() as patch:
        patch.setattr(broker, "claim", _away)
        for _ in range(2 * SLOTS):
            with pytest.raises(errors.Unavailable):
                await one.run_once()
    assert all_free(slots)
    monkeypatch.setattr(broker, "settle", _away)
    await one.run_once()
    await one.drain(10.0)
    assert all_free(slots)
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED


async def test_no_slot_leaks_when_a_claim_is_cancelled(
    client: Redis, monkeypatch: pytest.MonkeyPatch, slots: asyncio.Semaphore
) -> None:
    """Stopping in the middle of a claim gives its slots back."""
    broker, asked = Broker(client), asyncio.Event()

    async def claim(*_: object) -> tuple[float | None, list[Delivery]]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(broker, "claim", claim)
    running = asyncio.create_task(make(broker, saying(OK), slots).run_once())
    await asked.wait()
    assert not all_free(slots)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert all_free(slots)


async def test_our_own_fault_is_logged_and_costs_no_slot(
    broker: Broker, slots: asyncio.Semaphore, caplog: pytest.LogCaptureFixture
) -> None:
    """A sender that raises what it never should is said in the log; others are delivered."""
    for request_id in "ab":
        await bring(broker, Status.GRANTED, request_id)
    await deliver_once(broker, saying(RuntimeError("ours"), OK), slots)
    assert all_free(slots)
    assert "failed in our own code" in caplog.text
    assert (await broker.counts(TYPE))[Status.RUNNING] == 1


async def test_a_relative_callback_is_called_below_the_base(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """The seed's own callback resolves against the configured base."""
    await _relative(broker)
    script = saying(OK)
    one = make(broker, script, slots, "http://127.0.0.1:8080/inbox/")
    await one.run_once()
    await one.drain(10.0)
    assert script.urls == ["http://127.0.0.1:8080/inbox/abc"]


async def _relative(broker: Broker) -> None:
    job = await submit(broker, callback="abc")
    await publish(broker)
    await grant(broker, job)


async def test_a_callback_that_cannot_be_resolved_ends_in_error(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A relative callback without a base is said on the job, instead of tried in vain."""
    await _relative(broker)
    await deliver_once(broker, saying(OK), slots)
    job = await broker.read(TYPE, "d")
    assert job.status is Status.ERROR
    assert "callback" in (job.error or "")
    assert all_free(slots)


async def test_an_unreadable_job_is_in_nobodys_way(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """A granted record that cannot be read does not keep others from their callbacks."""
    for request_id in ("broken", "sound"):
        await bring(broker, Status.GRANTED, request_id)
    await client.hset(Keys(TYPE).of("job", "broken"), "created", "yesterday")
    await deliver_once(broker, saying(OK), slots)
    assert (await broker.read(TYPE, "sound")).status is Status.RUNNING
    assert all_free(slots)


async def test_what_was_handed_back_is_no_try(
    broker: Broker, slots: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restarts of notifiers do not use up the three tries a 404 has."""
    monkeypatch.setattr(retry, "DELAYS", ())
    monkeypatch.setattr(retry, "DELAY_AFTER", 0.0)
    await bring(broker, Status.GRANTED)
    for _ in range(2):
        stopped = make(broker, silent(OK), slots)
        await stopped.run_once()
        await stopped.drain(0.0)
    await deliver_once(broker, saying(REJECTED), slots)
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED


async def test_the_unproven_wait_for_room_and_are_told_of_it(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """With one slot for the unproven the second goes when the first has landed, and not before."""
    for number in range(2):
        await bring(broker, Status.GRANTED, f"d{number}")
    script, told = silent(DOWN), []
    one = Courier(broker, TYPE, script, slots, doubts=Doubts(1))
    one.on_room = lambda: told.append(len(script.urls))
    for _ in range(2):
        await one.run_once()
        await asyncio.sleep(0.02)
        assert (script.urls, told) == (["http://x/d0"], [])
    script.answer.set()
    await one.drain(10.0)
    assert told == [1]
    await one.run_once()
    await one.drain(10.0)
    assert script.urls == ["http://x/d0", "http://x/d1"]
    assert all_free(slots)


async def test_the_unproven_go_a_few_at_a_time(
    broker: Broker, slots: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are due, each claim leaves most of its room to others, and all are claimed."""
    for number in range(9):
        await bring(broker, Status.GRANTED, f"d{number}")
    asked, claim = list[tuple[int, int | None]](), broker.claim

    async def noted(
        type_: str, lease: float, limit: int, unproven: int | None = None
    ) -> tuple[float | None, list[Delivery]]:
        asked.append((limit, unproven))
        return await claim(type_, lease, limit, unproven)

    monkeypatch.setattr(broker, "claim", noted)
    one = Courier(broker, TYPE, saying(*[OK] * 9), slots, batch=8)
    await one.run_once()
    await one.drain(10.0)
    assert asked
    assert all(unproven == max(1, limit // 4) for limit, unproven in asked)
    assert {(await broker.read(TYPE, f"d{n}")).status for n in range(9)} == {Status.RUNNING}
    assert all_free(slots)


async def test_who_missed_doubts_is_told_once_and_no_sooner() -> None:
    """One told for every lack, when there is more for it, and not by what it gives back itself."""
    doubts, told = Doubts(3), []
    assert (doubts.take(2), doubts.take(2)) == (2, 1)
    doubts.miss(lambda: told.append("a"))
    doubts.give(0)
    assert told == []
    doubts.give(1)
    doubts.give(2)
    assert told == ["a"]
    assert doubts.take(9) == 3


async def test_a_courier_with_nothing_to_do_rests(broker: Broker, slots: asyncio.Semaphore) -> None:
    """While doubts are short but none is due, nobody is nudged to look again at once."""
    doubts, told = Doubts(2), []
    doubts.take(1)
    one = Courier(broker, TYPE, saying(OK), slots, doubts=doubts)
    one.on_room = lambda: told.append(1)
    assert await one.run_once() is None
    assert told == []
