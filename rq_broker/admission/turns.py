"""Turns of the types: what one process computes for its clients, one computation of a type at once.

Questions about one type wait for each other, and none begins in the pause after one. Those of other
types go on beside them: the CPU time is shared by Planning.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

AT_ONCE = 16
"""Types whose snapshots are in memory at once. With more, many types with long queues fill it; with
fewer, a question waits longer until one of them is done."""
REMEMBERED_TYPES = 1000
"""Types beyond which those without a question and a pause are forgotten."""


@dataclass(slots=True)
class Turn:
    """The turns of one type."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    """How many have a turn or wait for one."""
    pause_ends: float = 0.0
    """When the next may begin, by the monotonic clock."""

    def pause(self, seconds: float) -> None:
        """Let no other turn begin for some seconds."""
        self.pause_ends = time.monotonic() + seconds


class Turns:
    """The turns of all types, for one kind of question."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def of(self, type_: str) -> AsyncIterator[Turn]:
        """Wait for a turn of the type and for the end of its pause; have it during the block."""
        if len(self._turns) >= REMEMBERED_TYPES:
            self._forget_idle()
        turn = self._turns.setdefault(type_, Turn())
        turn.users += 1
        try:
            async with turn.lock:
                await asyncio.sleep(turn.pause_ends - time.monotonic())
                async with self._slots:
                    yield turn
        finally:
            turn.users -= 1

    def _forget_idle(self) -> None:
        now = time.monotonic()
        for type_, turn in [*self._turns.items()]:
            if not turn.users and turn.pause_ends <= now:
                del self._turns[type_]
