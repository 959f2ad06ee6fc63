"""Runs one step again and again: pollers of sources and the notifier's report are such steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from rq_broker.domain import errors
from rq_broker.store.cancellation import raise_if_cancelled

log = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 1.0
"""Seconds between two runs of a step at most, and after a failed one. A lock that another process
held may be free by then; a shorter time costs calls to Redis for each source."""


class Loop:
    """Runs a step when woken, when its last run asked for it, and after LONGEST_WAIT_SECONDS."""

    def __init__(self, name: str, step: Callable[[], Awaitable[float | None]]) -> None:
        """Take the name for log lines, and a step that returns seconds until it wants to run."""
        self._name = name
        self._step = step
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Have the step run now, or again if it is running."""
        self._woken.set()

    async def run(self) -> None:
        """Run until cancelled. Faults are logged, and the step is run again."""
        while True:
            self._woken.clear()
            wait = await self.run_step()
            raise_if_cancelled()  # a step that failed as it was cancelled reports its failure only
            try:
                async with asyncio.timeout(wait):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def run_step(self) -> float:
        """Run the step; returns the seconds to wait before the next run."""
        try:
            due = await self._step()
        except errors.Unavailable:  # logged when it began, see store/trouble
            return LONGEST_WAIT_SECONDS
        except Exception:  # an error in one step must not end the other loops
            log.exception("%s: an unexpected error, trying again", self._name)
            return LONGEST_WAIT_SECONDS
        return LONGEST_WAIT_SECONDS if due is None else min(due, LONGEST_WAIT_SECONDS)
