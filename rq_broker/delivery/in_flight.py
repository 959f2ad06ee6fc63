"""Messages that are on their way to receivers, each in a task and a slot of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from rq_broker.delivery.outcome import Outcome

log = logging.getLogger(__name__)


class CallbackSender(Protocol):
    """What couriers need of a sender."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """POST one JSON body; whatever the receiver does becomes an outcome."""
        ...


class InFlight:
    """The messages of one courier that are under way."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self._tasks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def begin(self, sending: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """Send in a task that gives its slot back at its end.

        Args:
            sending: Sends one message. Its caller has acquired a slot for it.
            what: Names it in the log, should it fail.
        """
        task = asyncio.create_task(sending)
        self._tasks.add(task)

        def finish(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._slots.release()
            if not task.cancelled() and (error := task.exception()):
                log.error("%s failed", what, exc_info=error)

        task.add_done_callback(finish)
        return task

    async def stop(self, grace: float = 0.0) -> None:
        """Wait up to `grace` seconds until all have ended; cancel those that have not."""
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=grace)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
