"""Work that is asked for again and again, and done once some seconds later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context


class Later:
    """Does some work `seconds` after it was asked for, and again for as long as it returns True.

    Nothing is added by asking while it is due or under way.
    """

    def __init__(self, seconds: float, work: Callable[[], Awaitable[bool]]) -> None:
        self._seconds = seconds
        self._work = work
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Have it done."""
        if self._timer is None and self._task is None:
            loop, of_nobody = asyncio.get_running_loop(), Context()  # not the request's that asks
            self._timer = loop.call_later(self._seconds, self._start, context=of_nobody)

    def close(self) -> None:
        """Do it no more."""
        if self._timer:
            self._timer.cancel()
        if self._task:
            self._task.cancel()

    def _start(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        is_asked_again = await self._work()
        self._task = None
        if is_asked_again:
            self.ask()
