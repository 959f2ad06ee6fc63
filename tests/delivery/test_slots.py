"""The slots that couriers share."""

from __future__ import annotations

import asyncio

from rq_broker.delivery.slots import UnprovenSlots, acquire_up_to


async def test_free_slots_are_taken_together() -> None:
    """All free slots are taken, up to the limit, once there is at least one."""
    slots = asyncio.Semaphore(5)
    assert await acquire_up_to(slots, 3) == 3
    assert await acquire_up_to(slots, 3) == 2
    waiting = asyncio.create_task(acquire_up_to(slots, 3))
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.release()
    assert await waiting == 1


def test_a_lack_of_slots_is_notified_once() -> None:
    """Whoever lacked slots is notified once, as soon as some are given back."""
    slots, notified = UnprovenSlots(3), []
    assert (slots.take(2), slots.take(2)) == (2, 1)
    slots.notify_when_free(lambda: notified.append("a"))
    slots.give_back(0)
    assert notified == []
    slots.give_back(1)
    slots.give_back(2)
    assert notified == ["a"]
    assert slots.take(9) == 3
