"""The granter beside a courier: callbacks of new grants need no claim of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.admission.granter import Granter
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.couriers import OK, all_free, answering, deliver_once, make_courier
from tests.making import TYPE, publish, submit


async def test_a_courier_sends_what_was_granted_without_a_claim(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """It is sent once, nobody is woken to claim it, and all slots are free afterwards."""
    await publish(broker)
    await submit(broker)
    sender = answering(OK)
    courier = make_courier(broker, sender, slots)
    assert await Granter(broker, TYPE, courier=lambda: courier).run_once() == 1
    assert not await broker.has_marker(TYPE, "deliver")
    await courier.drain(10.0)
    assert len(sender.ids) == 1
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING
    assert all_free(slots)
    assert await audit(client, TYPE) == []


async def test_without_a_free_slot_a_callback_is_due_for_any_courier(
    broker: Broker, client: Redis
) -> None:
    """The grant waits for no slot: another courier claims the callback."""
    await publish(broker)
    await submit(broker)
    taken, sender = asyncio.Semaphore(0), answering(OK)
    busy = make_courier(broker, sender, taken)
    assert await Granter(broker, TYPE, courier=lambda: busy).run_once() == 1
    assert busy.is_idle
    assert await broker.has_marker(TYPE, "deliver")
    await deliver_once(broker, sender, asyncio.Semaphore(1))
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING
    assert await audit(client, TYPE) == []


async def test_a_pass_that_is_cancelled_sends_what_it_had_granted(
    broker: Broker, slots: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notifier that stops while Redis commits calls back at once, not after a lease."""
    committing, grant_many = asyncio.Event(), broker.grant_many

    async def slowly(*args: Any) -> Any:
        committing.set()
        await asyncio.sleep(0.1)
        return await grant_many(*args)

    await publish(broker)
    await submit(broker)
    monkeypatch.setattr(broker, "grant_many", slowly)
    courier = make_courier(broker, answering(OK), slots)
    granting = asyncio.create_task(Granter(broker, TYPE, courier=lambda: courier).run_once())
    await committing.wait()
    granting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await granting
    await courier.drain(10.0)
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING
    assert all_free(slots)
