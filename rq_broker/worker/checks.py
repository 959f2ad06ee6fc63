"""Finds work that no wake-up told of: reads, type by type, what the sorted sets say is due.

At the start, after a lost subscription and when another notifier is gone, all types of which this
notifier is the first are checked as fast as Redis answers. Otherwise they are checked one after the
other, all notifiers together within a budget of Redis commands: so what a lost message was about is
found after seconds with a few types, after minutes with ten thousand.
"""

from __future__ import annotations

import asyncio
import logging
import random

from rq_broker.domain import errors
from rq_broker.store.broker import Broker, Due
from rq_broker.store.cancellation import raise_if_cancelled
from rq_broker.worker.dispatcher import Dispatcher, step_of
from rq_broker.worker.fleet import Fleet
from rq_broker.worker.known_types import KnownTypes
from rq_broker.worker.steps import Step, Steps

log = logging.getLogger(__name__)

BUDGET = 200.0
"""Redis commands a second that the checks of all notifiers cost together, about. With more, idle
types load Redis; with fewer, what no wake-up told of waits longer."""
ROUND_SECONDS = 2.0
"""Seconds between the beginnings of two rounds at least."""
CHECK_COMMANDS = 5
"""Commands that a check costs where the type has no work; the script's own count as well."""
GRANT_COMMANDS = 40
"""Commands that an admission pass costs which grants nothing."""
TIDYING_SECONDS = 3600.0
"""Seconds between two sweeps of a type at most, however far off its deadlines are: sweeps also
delete records that nobody waits for, of destinations and sources. With fewer, ten thousand idle
types load Redis."""
AT_ONCE = 50
"""Types checked at once where all are checked: enough to keep Redis busy, few enough that other
calls do not wait for long."""


class Checks:
    """Checks the types of which this notifier is the first."""

    def __init__(
        self,
        broker: Broker,
        fleet: Fleet,
        types: KnownTypes,
        dispatcher: Dispatcher,
        steps: Steps,
    ) -> None:
        self._broker = broker
        self._fleet = fleet
        self._types = types
        self._dispatcher = dispatcher
        self._steps = steps
        self._requested = asyncio.Event()
        self._unchecked: set[str] = set()
        """Types that a check of all could not read, one of which may have a Redis of its own."""

    def request(self) -> None:
        """Have all types checked now."""
        self._requested.set()

    async def run(self) -> None:
        """Check types until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            try:
                await self._broker.notice_losses()
                await self._round()
            except errors.BrokerError:  # the list cannot be read
                self._requested.set()
                await asyncio.sleep(1.0)
            except Exception:
                log.exception("checking types failed, trying again")
            await self._pause(started + ROUND_SECONDS - clock())

    async def _round(self) -> None:
        if self._requested.is_set():
            self._requested.clear()
            await self._check_all(await self._types.of_first(self._fleet, now=True))
        elif self._unchecked:
            await self._check_all(sorted(self._unchecked))
        else:
            await self._check_slowly(await self._types.of_first(self._fleet))

    async def _check_all(self, types: list[str]) -> None:
        for start in range(0, len(types), AT_ONCE):
            raise_if_cancelled()
            if self._requested.is_set():
                return
            batch = types[start : start + AT_ONCE]
            await asyncio.gather(*(self._check(type_, is_whole=True) for type_ in batch))

    async def _check_slowly(self, types: list[str]) -> None:
        for type_ in types:
            commands = await self._check(type_)
            await self._pause(commands * self._fleet.size / BUDGET)
            if self._requested.is_set():
                return

    async def _pause(self, seconds: float) -> None:
        """Wait, unless a check of all types is requested meanwhile."""
        raise_if_cancelled()
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._requested.wait()
        except TimeoutError:
            pass

    async def _check(self, type_: str, *, is_whole: bool = False) -> int:
        """Start or watch what a type has to do; returns about how many commands that costs."""
        try:
            await self._broker.learn(type_)
            due = await self._broker.due(type_)
            if due.unused and self._types.is_listed(type_):
                await self._types.forget(type_)
        except Exception as error:  # an error in one type must not keep others from being checked
            if not isinstance(error, errors.Unavailable):
                log.warning("checking type %s failed: %s", type_, error)
            if is_whole:
                self._unchecked.add(type_)
            return CHECK_COMMANDS
        self._unchecked.discard(type_)
        return CHECK_COMMANDS + self._act_on(type_, due)

    def _act_on(self, type_: str, due: Due) -> int:
        """Start what is due now, watch what is due later; returns the commands of an idle pass."""
        steps: set[Step] = {step_of(marker) for marker in due.markers}
        if due.waiting:  # what a dead granter left, and what only the passing of time allows
            steps.add("grant")
        tidying = TIDYING_SECONDS * random.uniform(0.5, 1.0)
        sweep = tidying if due.sweep is None else min(due.sweep, tidying)
        waits: dict[Step, float | None] = {"deliver": due.deliver, "sweep": sweep}
        for step, wait in waits.items():
            if wait == 0:
                steps.add(step)
            elif wait is not None:
                self._dispatcher.watch(type_, step, wait)
        for step in steps:
            self._steps.start(type_, step)
        return GRANT_COMMANDS if due.waiting else 0
