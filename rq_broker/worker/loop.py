"""Runs one step again and again: granter, courier, janitor and pollers are such steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from rq_broker.domain import errors

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""Seconds between two runs of a step at most. A wake-up may be lost with a process that dies: then
the work waits for this long. A shorter time costs calls to Redis for each idle type."""


class Loop:
    """Runs a step when woken, when its last run asked for it, and at least every SWEEP_SECONDS."""

    def __init__(self, name: str, step: Callable[[], Awaitable[float | None]]) -> None:
        """Take the name for log lines, and a step that returns seconds until it wants to run."""
        self._name = name
        self._step = step
        self._woken = asyncio.Event()

    def wake(self) -> bool:
        """Have the step run now, or again if it is running.

        Returns:
            False if it was woken already and has not begun to run since.
        """
        was_woken = self._woken.is_set()
        self._woken.set()
        return not was_woken

    async def run(self) -> None:
        """Run until cancelled. Errors are logged, and the step is run again."""
        while True:
            self._woken.clear()
            wait = await self._run_step()
            # A step that failed as it was cancelled reports only its failure: stop all the same.
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError
            try:
                async with asyncio.timeout(wait):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _run_step(self) -> float:
        """Run the step; returns the seconds to wait before the next run."""
        try:
            due = await self._step()
            return SWEEP_SECONDS if due is None else min(due, SWEEP_SECONDS)
        except errors.Unavailable:
            log.warning("%s: Redis does not answer, trying again", self._name)
        except Exception:  # an error in one type must not end the loops of the others
            log.exception("%s: an unexpected error, trying again", self._name)
        return SWEEP_SECONDS
