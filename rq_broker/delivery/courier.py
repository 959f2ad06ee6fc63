"""Delivers callbacks: claim what is due, POST it, settle what came of it.

A claim is a lease, longer than any attempt can take; a courier that dies needs no recovery, its
claims fall due again. The delivery id is the grant's, so every attempt of one grant carries the
same one and a receiver can tell repeats.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Protocol
from urllib.parse import quote

from rq_broker.delivery.outcome import Outcome
from rq_broker.delivery.retry import settlement
from rq_broker.delivery.signing import SigningKey, sign
from rq_broker.domain import errors
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.jobs import Job
from rq_broker.domain.representation import JobView, to_json
from rq_broker.egress.callback import absolute_url
from rq_broker.store.broker import Broker, Settlement

log = logging.getLogger(__name__)
LEASE_MARGIN = 5.0
BATCH = 16
"""Deliveries claimed or settled together, at most: Redis works on some while others are sent."""
UNPROVEN_PART = 4
"""One in so many of those claimed together may go to a destination not known to be prompt: a crowd
of these is sent a few at a time, and what is behind it goes in between."""


class Poster(Protocol):
    """What the courier needs of a sender."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """POST one body as JSON; never raises for what a destination does."""
        ...


def delivery_id(job: Job) -> str:
    """Name the grant: the same for every attempt, another for the next grant of the same job."""
    return f"{quote(job.type, safe='')}_{job.id}_{job.fence}"


def body(job: Job, now: datetime) -> bytes:
    """Build the JSON a receiver gets."""
    stamp = now.isoformat().replace("+00:00", "Z")
    return to_json({"type": "job.granted", "timestamp": stamp, "data": JobView.of(job)})


@lru_cache(1024)
def _parsed(texts: tuple[str, ...]) -> tuple[SigningKey, ...]:
    return tuple(SigningKey.parse(text) for text in texts)


class Doubts:
    """How many of a process's slots may be taken by callbacks to those not known to be prompt.

    Whatever these do, the other slots are left for the rest.
    """

    def __init__(self, count: int = sys.maxsize) -> None:
        self._free = count
        self._short: set[Callable[[], object]] = set()

    def take(self, most: int) -> int:
        """Take as many as there are, up to `most`."""
        taken = min(most, self._free)
        self._free -= taken
        return taken

    def miss(self, tell: Callable[[], object]) -> None:
        """Have `tell` called once there are more."""
        self._short.add(tell)

    def give(self, count: int) -> None:
        """Give back as many, and tell those who missed them."""
        self._free += count
        if count and self._short:
            short, self._short = self._short, set()
            for tell in short:
                tell()


class Courier:
    """The courier of one type in one process; slots and doubts are shared by all its types."""

    def __init__(
        self,
        broker: Broker,
        type_: str,
        sender: Poster,
        slots: asyncio.Semaphore,
        *,
        callback_base: str | None = None,
        timeout: float = 10.0,
        batch: int = BATCH,
        doubts: Doubts | None = None,
    ) -> None:
        self._broker = broker
        self._type = type_
        self._sender = sender
        self._slots = slots
        self._base = callback_base
        self._lease = timeout + LEASE_MARGIN
        self._batch = batch
        self._flying: set[asyncio.Task[None]] = set()
        self._doubts = doubts or Doubts()
        self.on_room: Callable[[], object] = lambda: None
        """Called when there is room again for callbacks that had to wait for it."""
        self._came: list[tuple[Delivery, Settlement]] = []
        self._settling: asyncio.Task[None] | None = None

    async def run_once(self) -> float | None:
        """Claim and start whatever is due; returns seconds until the next is, if there is one."""
        while True:
            await self._slots.acquire()
            free = 1
            while free < self._batch and not self._slots.locked():
                await self._slots.acquire()
                free += 1
            share = max(1, free // UNPROVEN_PART)
            unproven = self._doubts.take(share)
            wait: float | None = None
            claimed: list[Delivery] = []
            try:
                wait, claimed = await self._broker.claim(self._type, self._lease, free, unproven)
            finally:
                for _ in range(free - len(claimed)):
                    self._slots.release()
                used = sum(each.unproven for each in claimed)
                self._doubts.give(unproven - used)
                if used == unproven < share:
                    self._doubts.miss(self.on_room)
            for delivery in claimed:
                self._start(delivery)
            if len(claimed) < free and used < share and wait != 0.0:
                return wait

    def _start(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._deliver(delivery))
        self._flying.add(task)
        task.add_done_callback(partial(self._landed, delivery))

    def _landed(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self._slots.release()
        self._doubts.give(delivery.unproven)
        if not task.cancelled() and (error := task.exception()):
            log.error("a delivery of %s failed in our own code", self._type, exc_info=error)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            outcome = await self._post(delivery)
        except asyncio.CancelledError:
            self._say(delivery, Settlement("release"))
            raise
        self._say(delivery, settlement(delivery.job.attempts, outcome))

    def _say(self, delivery: Delivery, came: Settlement) -> None:
        self._came.append((delivery, came))
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle())

    async def _settle(self) -> None:
        """Settle what came, and together what comes meanwhile."""
        try:
            while self._came:
                went, self._came = self._came[: self._batch], self._came[self._batch :]
                try:
                    await self._broker.settle(self._type, went)
                except errors.Unavailable:
                    pass  # their leases end, and they are sent again
                except Exception:
                    log.exception("deliveries of %s could not be settled", self._type)
        finally:
            self._settling = None

    async def _post(self, delivery: Delivery) -> Outcome:
        job, now = delivery.job, datetime.now(UTC)
        try:
            keys = _parsed(delivery.keys)
        except errors.Invalid:  # set past the API; its operator may mend it within the offer
            return Outcome("retry", "invalid_signing_key", 0)
        try:
            url = absolute_url(job.callback, self._base)
        except errors.Invalid:
            return Outcome("fail", "invalid_callback", 0)
        sent = body(job, now)
        headers = sign(delivery_id(job), int(now.timestamp()), sent, keys)
        return await self._sender.post(url, sent, headers)

    async def drain(self, grace: float) -> None:
        """Let what is on its way finish; hand the rest back for another courier."""
        if self._flying:
            _, late = await asyncio.wait(self._flying, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._settling:
            await self._settling
