"""How many callbacks couriers send at once, in all and to unproven destinations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rq_broker.delivery.courier import Courier
from rq_broker.delivery.slots import UnprovenSlots
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.couriers import (
    DOWN,
    GONE,
    OK,
    REJECTED,
    SLOTS,
    all_free,
    answering,
    deliver_once,
    make_courier,
    waiting,
)
from tests.making import TYPE, bring


async def test_no_more_is_sent_at_once_than_there_are_slots(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A courier claims on as slots become free, and never exceeds them."""
    for number in range(11):
        await bring(broker, Status.GRANTED, f"d{number}")
    sender = waiting(OK)
    courier = make_courier(broker, sender, slots)
    running = asyncio.create_task(courier.run_once())
    async with asyncio.timeout(10):
        while len(sender.urls) < SLOTS:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    assert len(sender.urls) == SLOTS
    sender.may_answer.set()
    await running
    await courier.drain(10.0)
    assert sorted(sender.urls) == sorted(f"http://x/d{number}" for number in range(11))
    assert (await broker.counts(TYPE))[Status.RUNNING] == 11
    assert all_free(slots)


async def test_all_types_share_the_slots(broker: Broker, slots: asyncio.Semaphore) -> None:
    """Couriers of two types share the process's slots, and free all of them in the end."""
    sender, couriers = answering(OK, DOWN, GONE, OK, REJECTED, OK), []
    for type_ in ("vm", "kube"):
        for number in range(5):
            await bring(broker, Status.GRANTED, f"d{number}", type_)
        couriers.append(Courier(broker, type_, sender, slots, batch=3))
    await asyncio.gather(*(courier.run_once() for courier in couriers))
    await asyncio.gather(*(courier.drain(10.0) for courier in couriers))
    assert len(sender.urls) == 10
    assert all_free(slots)


async def test_a_courier_is_woken_when_unproven_slots_become_free(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """With one unproven slot, the second callback is sent once the first is finished."""
    for number in range(2):
        await bring(broker, Status.GRANTED, f"d{number}")
    sender, woken = waiting(DOWN), []
    courier = Courier(broker, TYPE, sender, slots, unproven_slots=UnprovenSlots(1))
    courier.on_slots_freed = lambda: woken.append(len(sender.urls))
    for _ in range(2):
        await courier.run_once()
        await asyncio.sleep(0.02)
        assert (sender.urls, woken) == (["http://x/d0"], [])
    sender.may_answer.set()
    await courier.drain(10.0)
    assert woken == [1]
    await courier.run_once()
    await courier.drain(10.0)
    assert sender.urls == ["http://x/d0", "http://x/d1"]
    assert all_free(slots)


async def test_a_claim_takes_a_quarter_for_unproven_destinations(
    broker: Broker, slots: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each claim leaves most of its slots to others, and in the end all callbacks are sent."""
    for number in range(9):
        await bring(broker, Status.GRANTED, f"d{number}")
    limits, claim = list[tuple[int, int | None]](), broker.claim

    async def recorded(
        type_: str, lease: float, limit: int, unproven: int | None = None
    ) -> tuple[float | None, list[Delivery]]:
        limits.append((limit, unproven))
        return await claim(type_, lease, limit, unproven)

    monkeypatch.setattr(broker, "claim", recorded)
    courier = Courier(broker, TYPE, answering(*[OK] * 9), slots, batch=8)
    await courier.run_once()
    await courier.drain(10.0)
    assert limits
    assert all(unproven == max(1, limit // 4) for limit, unproven in limits)
    assert {(await broker.read(TYPE, f"d{n}")).status for n in range(9)} == {Status.RUNNING}
    assert all_free(slots)


async def test_a_full_claim_that_leaves_nothing_is_the_last(
    broker: Broker, slots: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many prompt callbacks as a claim takes cost one claim, and one more costs two."""
    await bring(broker, Status.GRANTED, "first")
    await deliver_once(broker, answering(OK), slots)
    claims, claim = 0, broker.claim

    async def counted(*args: Any) -> Any:
        nonlocal claims
        claims += 1
        return await claim(*args)

    monkeypatch.setattr(broker, "claim", counted)
    for due in (1, 2):
        for number in range(due):
            await bring(broker, Status.GRANTED, f"{due}-{number}")
        claims = 0
        courier = Courier(broker, TYPE, answering(OK), slots, batch=1)
        await courier.run_once()
        await courier.drain(10.0)
        assert claims == due


async def test_a_courier_with_nothing_to_do_rests(broker: Broker, slots: asyncio.Semaphore) -> None:
    """While unproven slots are few but nothing is due, the courier is not woken."""
    unproven_slots, woken = UnprovenSlots(2), []
    unproven_slots.take(1)
    courier = Courier(broker, TYPE, answering(OK), slots, unproven_slots=unproven_slots)
    courier.on_slots_freed = lambda: woken.append(1)
    assert await courier.run_once() is None
    assert woken == []
