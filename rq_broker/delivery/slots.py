"""Limits how many callbacks a process has in flight, in all and to unproven destinations.

A destination is unproven while it is not known to answer promptly. As such destinations never get
all slots of a process, callbacks to prompt ones never wait for the timeouts of slow ones.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable


async def acquire_up_to(slots: asyncio.Semaphore, limit: int) -> int:
    """Wait for a free slot, and take all that are free; returns how many, at most `limit`."""
    await slots.acquire()
    return 1 + await acquire_free(slots, limit - 1)


async def acquire_free(slots: asyncio.Semaphore, limit: int) -> int:
    """Take slots that are free now; returns how many, at most `limit`."""
    taken = 0
    while taken < limit and not slots.locked():
        await slots.acquire()
        taken += 1
    return taken


class UnprovenSlots:
    """The slots of a process that callbacks to unproven destinations may use, unlimited if no
    count is given. Nobody waits for them: a courier that lacks some is notified when there are.
    """

    def __init__(self, count: int = sys.maxsize) -> None:
        self._free = count
        self._waiting: set[Callable[[], object]] = set()

    @property
    def are_free(self) -> bool:
        """Whether any is free."""
        return self._free > 0

    def take(self, limit: int) -> int:
        """Take the free slots; returns how many, at most `limit`."""
        taken = min(limit, self._free)
        self._free -= taken
        return taken

    def give_back(self, count: int) -> None:
        """Give slots back; if there are any, notify those that lacked some."""
        self._free += count
        if count and self._waiting:
            waiting, self._waiting = self._waiting, set()
            for notify in waiting:
                notify()

    def notify_when_free(self, notify: Callable[[], object]) -> None:
        """Have `notify` called once, when slots are given back."""
        self._waiting.add(notify)
