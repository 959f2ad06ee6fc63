"""Calls that are due later: one a key, the earliest."""

from __future__ import annotations

import asyncio

from rq_broker.worker.timers import Timers


async def test_of_two_calls_with_one_key_the_earlier_is_made() -> None:
    """A later call changes nothing, an earlier one replaces; another key is another call."""
    timers, calls = Timers(), asyncio.Queue[str]()
    timers.call("a", 3600.0, calls.put_nowait, "late")
    timers.call("a", 0.01, calls.put_nowait, "early")
    timers.call("a", 3600.0, calls.put_nowait, "too late")
    timers.call("b", 0.0, calls.put_nowait, "other")
    assert len(timers) == 2
    async with asyncio.timeout(10):
        assert [await calls.get(), await calls.get()] == ["other", "early"]
    assert len(timers) == 0


async def test_cancelled_calls_are_not_made() -> None:
    """After `cancel` no call is left."""
    timers, calls = Timers(), list[str]()
    timers.call("a", 0.0, calls.append, "a")
    timers.cancel()
    await asyncio.sleep(0.01)
    assert (calls, len(timers)) == ([], 0)
