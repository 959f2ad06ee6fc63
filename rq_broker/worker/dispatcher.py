"""Decides which wake-ups of which types this notifier acts on, and when.

The first notifier of a type acts at once, and watches the type's deadlines. The next few look a
moment later whether the work was begun, and do it where the first is too busy, stopped or dead; so
a type with more work than one process does is shared by several.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from rq_broker.domain import errors
from rq_broker.store.broker import Broker, Marker, Wake
from rq_broker.worker.fleet import Fleet
from rq_broker.worker.known_types import KnownTypes
from rq_broker.worker.steps import Step, Steps
from rq_broker.worker.timers import Timers

log = logging.getLogger(__name__)

HELPERS = 3
"""Notifiers of one type that act on a wake-up: the first, and those that look after it. Each look
costs a command. With fewer, the types of notifiers that die together wait for DEAD_SECONDS."""
STAGGER_SECONDS = 0.05
"""Seconds between the looks of two helpers. With less, they take work that the first has just
heard of; with more, the work of a dead notifier waits longer."""


class Dispatcher:
    """Turns wake-ups and deadlines into steps."""

    def __init__(self, broker: Broker, fleet: Fleet, types: KnownTypes, timers: Timers) -> None:
        self._broker = broker
        self._fleet = fleet
        self._types = types
        self._timers = timers
        self._tasks: set[asyncio.Task[None]] = set()

    def use(self, steps: Steps, can_take: Callable[[Marker], bool]) -> None:
        """Take the steps to start, and what tells whether this process has slots for a marker."""
        self._steps = steps
        self._can_take = can_take

    @property
    def busy(self) -> bool:
        """Whether a look at a marker, or a message to others, is under way."""
        return bool(self._tasks)

    def heard(self, wake: Wake) -> None:
        """Act on a wake-up."""
        rank = self._fleet.rank(wake.type)
        if rank is None:
            return
        if wake.delay > 0:
            if rank == 0:
                self.watch(wake.type, step_of(wake.marker), wake.delay)
            return
        looks_after = rank - wake.level * HELPERS
        if rank == 0 and wake.level == 0 and wake.type in self._types:
            self._start_first(wake)
        elif 0 <= looks_after < HELPERS:
            self._timers.call(
                ("help", wake.type, wake.marker, wake.level),
                looks_after * STAGGER_SECONDS,
                partial(self._spawn, self._help, wake, rank),
            )

    def watch(self, type_: str, step: Step, delay: float) -> None:
        """Run a step in `delay` seconds, or have the type's first notifier do it."""
        self._timers.call(("due", type_, step), delay, self._run_due, type_, step)

    def _run_due(self, type_: str, step: Step) -> None:
        if step == "report" or self._fleet.rank(type_) == 0:  # who acts on a type may count it
            self._steps.start(type_, step)
        else:
            self._spawn(self._broker.hand_over, type_, step)

    def _start_first(self, wake: Wake) -> None:
        # Without slots for unproven destinations the work is left to others: the courier goes on
        # by itself once it has some.
        if wake.marker != "unproven" or self._can_take("unproven"):
            self._steps.start(wake.type, step_of(wake.marker))

    async def _help(self, wake: Wake, rank: int) -> None:
        """Do what a wake-up was about, unless another notifier has begun it."""
        step, can_take = step_of(wake.marker), self._can_take(wake.marker)
        if can_take and self._steps.is_running(wake.type, step):
            return
        if not await self._broker.has_marker(wake.type, wake.marker):
            return
        if can_take:
            if wake.type not in self._types:
                await self._types.add(wake.type)
            self._steps.start(wake.type, step)
        elif rank % HELPERS == HELPERS - 1 and rank + 1 < self._fleet.count(wake.type):
            await self._broker.hand_over(wake.type, wake.marker, wake.level + 1)

    def _spawn(self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        task = asyncio.create_task(work(*args))
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, errors.Unavailable):  # a check finds the work later
            log.error("acting on a wake-up failed", exc_info=error)

    async def stop(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def step_of(marker: Marker) -> Step:
    """Return the step that does a marker's work."""
    return "deliver" if marker == "unproven" else marker
