"""The notifier: per type it waits for wake-ups and runs granter, courier, janitor and pollers.

A marker in `wake` says that a loop has work and wakes one notifier of many. Markers are hints only:
every loop also looks once a second, so whatever a dead process took with it is found.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from rq_broker.admission.granter import Granter
from rq_broker.delivery.courier import Courier, Doubts, Poster
from rq_broker.domain import errors
from rq_broker.sources.feeds import Feed
from rq_broker.sources.poller import Poller
from rq_broker.store.broker import Broker
from rq_broker.worker.janitor import Janitor
from rq_broker.worker.loop import SWEEP_SECONDS, Loop

log = logging.getLogger(__name__)
BLOCK_SECONDS = 5.0
BUSY_SECONDS = 0.002
"""How long a notifier that is behind with its work leaves the markers to others."""
UNPROVEN_SHARE = 2
"""One in so many slots may go to destinations that are not known to answer promptly."""


class Watch:
    """The loops of one type."""

    def __init__(self, broker: Broker, type_: str, courier: Courier) -> None:
        self._broker = broker
        self._type = type_
        self._courier = courier
        self._granter = Granter(broker, type_)
        janitor = Janitor(broker, type_)
        self._loops = {
            "grant": Loop(f"granter of {type_}", self._grant),
            "deliver": Loop(f"courier of {type_}", courier.run_once),
            "sweep": Loop(f"janitor of {type_}", janitor.run_once),
        }
        courier.on_room = self._loops["deliver"].nudge

    async def _grant(self) -> None:
        await self._granter.run_once()

    async def _wait(self) -> None:
        while True:
            try:
                marker = await self._broker.wait(self._type, BLOCK_SECONDS)
            except errors.BrokerError:
                await asyncio.sleep(SWEEP_SECONDS)
                continue
            if marker in self._loops and not self._loops[marker].nudge():
                await asyncio.sleep(BUSY_SECONDS)

    async def run(self, grace: float) -> None:
        """Run until cancelled, then let the courier finish what is on its way."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._wait())
                for loop in self._loops.values():
                    group.create_task(loop.run())
        finally:
            await asyncio.shield(self._courier.drain(grace))


class Notifier:
    """All types of a process, or the ones it was given."""

    def __init__(
        self,
        broker: Broker,
        sender: Poster,
        *,
        types: Collection[str] = (),
        callback_base: str | None = None,
        timeout: float = 10.0,
        concurrency: int = 512,
        feeds: Collection[Feed] = (),
    ) -> None:
        self._broker = broker
        self._sender = sender
        self._types = frozenset(types)
        self._base = callback_base
        self._slots = asyncio.Semaphore(concurrency)
        self._doubts = Doubts(max(1, concurrency // UNPROVEN_SHARE))
        self._timeout = timeout
        self._feeds = [feed for feed in feeds if not types or feed.type in types]

    async def run(self) -> None:
        """Run until cancelled; types that appear are taken up within a second."""
        watched: set[str] = set()
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds:
                group.create_task(self._poll(feed))
            while True:
                for type_ in await self._known() - watched:
                    watched.add(type_)
                    group.create_task(self._watch(type_).run(self._timeout))
                await asyncio.sleep(SWEEP_SECONDS)

    async def _poll(self, feed: Feed) -> None:
        poller = Poller(self._broker, feed)
        try:
            await Loop(f"poller of {feed.name}", poller.run_once).run()
        finally:
            await asyncio.shield(poller.close())

    async def _known(self) -> frozenset[str]:
        if self._types:
            return self._types
        try:
            return frozenset(await self._broker.names())
        except errors.BrokerError:
            return frozenset()

    def _watch(self, type_: str) -> Watch:
        courier = Courier(
            self._broker,
            type_,
            self._sender,
            self._slots,
            callback_base=self._base,
            timeout=self._timeout,
            doubts=self._doubts,
        )
        return Watch(self._broker, type_, courier)
