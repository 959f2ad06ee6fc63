"""Gives the followers of events their turns, a few in each round of the event loop.

A follower that is woken writes to its client. Were a thousand woken at once, the loop would do
nothing else until all had written, and every request under way would wait for that long.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

AT_ONCE = 2
"""Turns in one round of the loop. A request takes some six rounds, so it waits for a dozen writes
of streams, half a millisecond. More turns save rounds, of some 5 µs each, and delay requests."""
_Turn = Callable[[], object]


class EventTurns:
    """The turns that are due."""

    def __init__(self) -> None:
        self._due: deque[_Turn] = deque()
        self._urgent: deque[_Turn] = deque()
        self._is_called = False

    def add(self, turn: _Turn, *, is_urgent: bool = False) -> None:
        """Call something when its turn has come, behind those that are due.

        What is urgent, as a read that waits for one job, does not wait for the others.
        """
        (self._urgent if is_urgent else self._due).append(turn)
        if not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._next)

    async def over(self) -> None:
        """Wait until the turns that are due now have been."""
        if self._due:
            over = asyncio.Event()
            self.add(over.set)
            await over.wait()

    def _next(self) -> None:
        for _ in range(min(AT_ONCE, len(self._urgent))):
            self._urgent.popleft()()
        for _ in range(min(AT_ONCE, len(self._due))):
            self._due.popleft()()
        self._is_called = bool(self._due or self._urgent)
        if self._is_called:
            asyncio.get_running_loop().call_soon(self._next)
