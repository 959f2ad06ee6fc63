"""Runs the steps of all types in one process: grant, deliver, sweep, report, test.

A step runs in a task that ends with it, so a type without work costs nothing but a timer, if it has
a deadline. Granters and couriers are kept for the types that had work last.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Literal

from rq_broker.admission.granter import LOCK_SECONDS, Granter
from rq_broker.delivery.courier import Courier
from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.store.cancellation import raise_if_cancelled
from rq_broker.worker.janitor import Janitor
from rq_broker.worker.recent import Recent
from rq_broker.worker.reporter import COUNT_SECONDS, Reporter
from rq_broker.worker.timers import Timers

log = logging.getLogger(__name__)

Step = Literal["grant", "deliver", "sweep", "report", "test"]

REMEMBERED = 256
"""Types whose granters and couriers are kept while they have no work. A granter remembers the
type's hosts; without it, they are read whole again. More take more memory."""
RETRY_SECONDS = 1.0
"""Seconds after which a failed step is run again."""
RETRIES_PER_SECOND = 500
"""Failed steps that are run again in a second, about. More load a Redis that is in trouble; with
fewer, a thousand types that failed together wait longer after it has recovered."""
SHORTEST_WAIT = 0.002
"""Seconds that a step waits at least before it runs again by itself. Redis counts whole ms, so
with less it would run twice where a deadline is near."""
LOG_SECONDS = 10.0
"""Seconds between two lines about one kind of error: in a thousand types it would fill the disk."""


class Steps:
    """The steps that run in this process now, each at most once at a time."""

    def __init__(
        self,
        broker: Broker,
        make_courier: Callable[[str], Courier],
        timers: Timers,
        watch: Callable[[str, Step, float], object],
    ) -> None:
        """Take what the steps need.

        Args:
            broker: the store.
            make_courier: makes the courier of a type.
            timers: for failed steps.
            watch: called with a type, a step, and the seconds until the step has work again.
        """
        self._broker = broker
        self._make_courier = make_courier
        self._timers = timers
        self._watch = watch
        self._running: dict[tuple[str, Step], asyncio.Task[None]] = {}
        self._again: set[tuple[str, Step]] = set()
        self._granters = Recent(self._new_granter, REMEMBERED)
        self._couriers = Recent(self._new_courier, REMEMBERED)
        self._stopped = False
        self._failing: set[tuple[str, Step]] = set()
        self._next_lines: dict[str, float] = {}
        """Kind of error → monotonic time from which it is logged again."""
        self._granted = Counter[str]()
        """Type → grants that are not in the log yet."""

    def start(self, type_: str, step: Step) -> None:
        """Run a step now, or again if it is running."""
        key = (type_, step)
        if key in self._running:
            self._again.add(key)
        elif not self._stopped:
            self._running[key] = asyncio.create_task(self._run(type_, step))
            if step != "report":  # it makes events, which are counted soon
                self._watch(type_, "report", COUNT_SECONDS)

    def is_running(self, type_: str, step: Step) -> bool:
        """Tell whether a step runs now."""
        return (type_, step) in self._running

    async def stop(self, grace: float) -> None:
        """Cancel all steps, then let callbacks in flight finish for `grace` seconds."""
        self._stopped = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.gather(*(courier.drain(grace) for courier in self._couriers.values()))
        for type_ in [*self._granted]:
            self._log_granted(type_)

    async def _run(self, type_: str, step: Step) -> None:
        key = (type_, step)
        try:
            while True:
                self._again.discard(key)
                wait = await self._try(type_, step)
                raise_if_cancelled()  # a step that failed meanwhile reports its failure only
                if key not in self._again:
                    break
        finally:
            del self._running[key]
            self._again.discard(key)
        if wait is not None:
            self._watch(type_, step, max(wait, SHORTEST_WAIT))

    async def _try(self, type_: str, step: Step) -> float | None:
        """Run a step once; returns the seconds until it has work again.

        A fault is logged, and the step is run again later; it ends no step of another type.
        """
        try:
            if step == "grant":
                wait = await self._grant(type_)
            elif step == "deliver":
                wait = await self._deliver(type_)
            elif step == "test":
                await self._couriers.get(type_).tests.run_once()
                wait = None
            elif step == "report":
                self._log_granted(type_)
                granter = self._granters.find(type_)
                known = granter.state if granter else None
                wait = await Reporter(self._broker, type_).run_once(known)
            else:
                wait = await Janitor(self._broker, type_).run_once()
        except Exception as error:
            self._failing.add((type_, step))
            if not isinstance(error, errors.Unavailable):  # logged when it began, see store/trouble
                self._log(type_, step, error)
            delay = RETRY_SECONDS + random.uniform(0, len(self._failing) / RETRIES_PER_SECOND)
            self._timers.call(("retry", type_, step), delay, self.start, type_, step)
            return None
        self._failing.discard((type_, step))
        return wait

    async def _grant(self, type_: str) -> float | None:
        granter = self._granters.get(type_)
        try:
            await granter.run_once()
        finally:  # a callback claimed with a grant is due again when its lease ends unsettled
            self._watch(type_, "deliver", self._couriers.get(type_).lease)
        self._shrink_couriers()
        self._granters.shrink(lambda name, _: self.is_running(name, "grant"))
        # The process that plans the type runs one more round for us. It may die before that.
        return LOCK_SECONDS if granter.refused else None

    async def _deliver(self, type_: str) -> float | None:
        wait = await self._couriers.get(type_).run_once(
            before_claim=partial(self._again.discard, (type_, "deliver"))
        )
        self._shrink_couriers()
        return wait

    def _shrink_couriers(self) -> None:
        """Drop couriers used longest ago; a running granter claims for its own."""
        self._couriers.shrink(
            lambda name, courier: (
                self.is_running(name, "deliver")
                or self.is_running(name, "grant")
                or not courier.is_idle
            )
        )

    def _new_granter(self, type_: str) -> Granter:
        def note(committed: int) -> None:
            self._granted[type_] += committed

        courier = partial(self._couriers.get, type_)
        return Granter(self._broker, type_, courier=courier, on_granted=note)

    def _log_granted(self, type_: str) -> None:
        """Log how many were granted since the last line, which is written about once a second."""
        if granted := self._granted.pop(type_, 0):
            log.info("type %s: %d granted", type_, granted)

    def _new_courier(self, type_: str) -> Courier:
        courier = self._make_courier(type_)
        courier.on_slots_freed = partial(self.start, type_, "deliver")
        return courier

    def _log(self, type_: str, step: Step, error: Exception) -> None:
        kind = error.code if isinstance(error, errors.BrokerError) else type(error).__name__
        now = time.monotonic()
        if self._next_lines.get(kind, 0.0) > now:
            return
        self._next_lines[kind] = now + LOG_SECONDS
        log.error("%s of type %s: unexpected, trying again", step, type_, exc_info=error)
