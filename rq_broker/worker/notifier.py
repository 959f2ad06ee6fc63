"""The notifier: one process that does the work of all types, with others, and polls the sources.

It holds few connections and few tasks, however many types there are: one subscription tells it
which types have work (dispatcher), timers tell when deadlines pass, and a step runs only while it
has work (steps). Live notifiers share the types without asking each other (fleet). What no message
told of is found by checks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from rq_broker.delivery.courier import Courier
from rq_broker.delivery.in_flight import CallbackSender
from rq_broker.delivery.slots import UnprovenSlots
from rq_broker.sources.feeds import Feed
from rq_broker.sources.poller import Poller
from rq_broker.store.broker import Broker, Marker
from rq_broker.worker.checks import Checks
from rq_broker.worker.dispatcher import Dispatcher
from rq_broker.worker.fleet import Fleet
from rq_broker.worker.known_types import KnownTypes
from rq_broker.worker.loop import Loop
from rq_broker.worker.steps import Steps
from rq_broker.worker.timers import Timers

UNPROVEN_SHARE_OF_SLOTS = 0.5
"""Share of a process's slots for destinations not known to answer promptly. With more, timeouts of
slow receivers take the slots that prompt ones need; with less, a process with many new receivers
leaves slots unused."""


class Notifier:
    """Does the work of the given types, or of every type, in one process."""

    def __init__(
        self,
        broker: Broker,
        sender: CallbackSender,
        *,
        types: Collection[str] = (),
        callback_base: str | None = None,
        timeout: float = 10.0,
        concurrency: int = 512,
        feeds: Collection[Feed] = (),
        callbacks: str | None = None,
    ) -> None:
        """Take what the steps need.

        Args:
            broker: the store.
            sender: sends callbacks.
            types: those to serve; empty: every type there is.
            callback_base: the URL that relative callbacks are joined to.
            timeout: seconds an attempt to call back may take; also the grace of a stop.
            concurrency: callbacks in flight at once, over all types.
            feeds: sources to poll; only those of the types served.
            callbacks: the options that say where callbacks may go, which it reports.
        """
        self._broker = broker
        self._sender = sender
        self._callback_base = callback_base
        self._slots = asyncio.Semaphore(concurrency)
        self._unproven_slots = UnprovenSlots(max(1, int(concurrency * UNPROVEN_SHARE_OF_SLOTS)))
        self._timeout = timeout
        self._feeds = [feed for feed in feeds if not types or feed.type in types]
        self._timers = Timers()
        self._listening = Loop("subscription to wake-ups", self._listen)
        known_types = KnownTypes(broker, types)
        self._fleet = Fleet(broker, types, callbacks)
        self._dispatcher = Dispatcher(broker, self._fleet, known_types, self._timers)
        self._steps = Steps(broker, self._make_courier, self._timers, self._dispatcher.watch)
        self._dispatcher.use(self._steps, self._can_take)
        self._checks = Checks(broker, self._fleet, known_types, self._dispatcher, self._steps)
        self._fleet.on_left = self._checks.request

    async def run(self) -> None:
        """Run until cancelled; then callbacks in flight get the grace of one attempt."""
        try:
            async with asyncio.TaskGroup() as group:
                # 1. Poll each source in a loop of its own.
                for feed in self._feeds:
                    group.create_task(self._poll(feed))
                # 2. Report this notifier, and learn of the others before the first check.
                reporting = Loop("report of this notifier", self._fleet.run_once)
                await reporting.run_step()
                group.create_task(reporting.run())
                # 3. Act on wake-ups, and check for work that none told of.
                group.create_task(self._listening.run())
                group.create_task(self._checks.run())
        finally:
            await asyncio.shield(self._stop())

    async def _poll(self, feed: Feed) -> None:
        poller = Poller(self._broker, feed)
        try:
            await Loop(f"poller of {feed.name}", poller.run_once).run()
        finally:
            await asyncio.shield(poller.close())

    async def _listen(self) -> None:
        """Act on wake-ups while the subscription lasts; raises Unavailable when it is lost."""
        await self._broker.listen(self._fleet.name, self._dispatcher.heard, self._subscribed)

    def _subscribed(self) -> None:
        self._checks.request()  # what was published before, was missed

    async def _stop(self) -> None:
        await self._fleet.retire()
        await self._dispatcher.stop()
        await self._steps.stop(self._timeout)
        self._timers.cancel()

    def _can_take(self, marker: Marker) -> bool:
        """Tell whether this process has slots for what a marker is about."""
        if marker == "unproven":
            return self._unproven_slots.are_free and not self._slots.locked()
        return marker != "deliver" or not self._slots.locked()

    def _make_courier(self, type_: str) -> Courier:
        return Courier(
            self._broker,
            type_,
            self._sender,
            self._slots,
            callback_base=self._callback_base,
            timeout=self._timeout,
            unproven_slots=self._unproven_slots,
        )
