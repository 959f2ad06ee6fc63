"""The notifier: one process that runs the loops of every type and polls the sources."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from rq_broker.delivery.courier import CallbackSender, Courier
from rq_broker.delivery.slots import UnprovenSlots
from rq_broker.domain import errors
from rq_broker.sources.feeds import Feed
from rq_broker.sources.poller import Poller
from rq_broker.store.broker import Broker
from rq_broker.worker.loop import SWEEP_SECONDS, Loop
from rq_broker.worker.type_loops import TypeLoops

UNPROVEN_SHARE_OF_SLOTS = 0.5
"""Share of a process's slots for destinations not known to answer promptly. With more, timeouts of
slow receivers take the slots that prompt ones need; with less, a process with many new receivers
leaves slots unused."""


class Notifier:
    """The loops of the given types, or of every type, in one process."""

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
    ) -> None:
        """Take what the loops need.

        Args:
            broker: the store.
            sender: sends callbacks.
            types: those to serve; empty: every type there is.
            callback_base: the URL that relative callbacks are joined to.
            timeout: seconds an attempt to call back may take; also the grace of a stop.
            concurrency: callbacks in flight at once, over all types.
            feeds: sources to poll; only those of the types served.
        """
        self._broker = broker
        self._sender = sender
        self._types = frozenset(types)
        self._callback_base = callback_base
        self._slots = asyncio.Semaphore(concurrency)
        self._unproven_slots = UnprovenSlots(max(1, int(concurrency * UNPROVEN_SHARE_OF_SLOTS)))
        self._timeout = timeout
        self._feeds = [feed for feed in feeds if not types or feed.type in types]

    async def run(self) -> None:
        """Run until cancelled; a type that appears meanwhile is served within a second."""
        served: set[str] = set()
        async with asyncio.TaskGroup() as group:
            # 1. Poll each source in a loop of its own.
            for feed in self._feeds:
                group.create_task(self._poll(feed))
            while True:
                # 2. Start the loops of every type that is new.
                for type_ in await self._types_to_serve() - served:
                    served.add(type_)
                    group.create_task(self._type_loops(type_).run(self._timeout))
                # 3. Look for new types again after a sweep.
                await asyncio.sleep(SWEEP_SECONDS)

    async def _poll(self, feed: Feed) -> None:
        poller = Poller(self._broker, feed)
        try:
            await Loop(f"poller of {feed.name}", poller.run_once).run()
        finally:
            await asyncio.shield(poller.close())

    async def _types_to_serve(self) -> frozenset[str]:
        if self._types:
            return self._types
        try:
            return frozenset(await self._broker.names())
        except errors.BrokerError:
            return frozenset()

    def _type_loops(self, type_: str) -> TypeLoops:
        courier = Courier(
            self._broker,
            type_,
            self._sender,
            self._slots,
            callback_base=self._callback_base,
            timeout=self._timeout,
            unproven_slots=self._unproven_slots,
        )
        return TypeLoops(self._broker, type_, courier)
