"""One step, run again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from rq_broker.domain import errors

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0


class Loop:
    """Runs one step again whenever it is nudged, when the step said, and once a second anyway."""

    def __init__(self, name: str, step: Callable[[], Awaitable[float | None]]) -> None:
        self._name = name
        self._step = step
        self._nudge = asyncio.Event()

    def nudge(self) -> bool:
        """Have the step run now, or once it has ended; returns whether that was news."""
        was_nudged = self._nudge.is_set()
        self._nudge.set()
        return not was_nudged

    async def run(self) -> None:
        """Run until cancelled; Redis being away is waited out."""
        while True:
            self._nudge.clear()
            wait = SWEEP_SECONDS
            try:
                due = await self._step()
                wait = min(wait, SWEEP_SECONDS if due is None else due)
            except errors.Unavailable:
                log.warning("%s: Redis does not answer, trying again", self._name)
            except Exception:  # one type's trouble must not end the others' loops
                log.exception("%s: a pass failed, trying again", self._name)
            if (this := asyncio.current_task()) and this.cancelling():
                raise asyncio.CancelledError  # what failed beside the cancel must not hide it
            try:
                async with asyncio.timeout(wait):
                    await self._nudge.wait()
            except TimeoutError:
                pass
