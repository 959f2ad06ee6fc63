"""Delivers the callbacks of one type: claims those due, sends them, settles their outcomes.

Those of new grants are claimed with the grant, as far as it has free slots.

A claim is a lease that is longer than any attempt. The claims of a courier that dies need no
recovery: their leases end, they fall due again, and another courier sends them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache

from prometheus_client import Counter

from rq_broker.delivery.failure_log import FailureLog
from rq_broker.delivery.in_flight import CallbackSender, InFlight
from rq_broker.delivery.message import message_body, message_id
from rq_broker.delivery.outcome import Kind, Outcome
from rq_broker.delivery.receiver_tests import ReceiverTestSender
from rq_broker.delivery.retry import settlement
from rq_broker.delivery.signing import parse_keys, sign
from rq_broker.delivery.slots import UnprovenSlots, acquire_free, acquire_up_to
from rq_broker.domain import errors
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.job_log import log_job, logs_jobs
from rq_broker.egress.callback import absolute_url
from rq_broker.measures import CALLBACK_SECONDS, CALLBACKS
from rq_broker.store.broker import Broker, FreeSlots, Settlement

log = logging.getLogger(__name__)

LEASE_MARGIN = 5.0
"""Seconds by which a lease exceeds an attempt's timeout: the time there is to settle it. With less,
a callback that is settled slowly falls due meanwhile and is sent twice."""
BATCH = 16
"""Callbacks claimed, or settled, by one call to Redis at most. Fewer cost more Redis calls per
callback; with more, none of a batch is sent while Redis works on all of it."""
UNPROVEN_SHARE_OF_CLAIM = 0.25
"""Share of a claim's slots for unproven destinations. With more, callbacks to proven ones queue
behind them; with less, a receiver that is called for the first time waits longer."""
UNSENT_SECONDS = 0.5
"""Seconds for which a callback that could not be sent keeps its slot before it is handed back. With
less, a process without descriptors claims the same callbacks again and again; with more, others get
them later."""


class Courier:
    """The courier of one type in one process. All couriers of a process share its slots."""

    def __init__(
        self,
        broker: Broker,
        type_: str,
        sender: CallbackSender,
        slots: asyncio.Semaphore,
        *,
        callback_base: str | None = None,
        timeout: float = 10.0,
        batch: int = BATCH,
        unproven_slots: UnprovenSlots | None = None,
    ) -> None:
        self._broker = broker
        self._type = type_
        self._sender = sender
        self._slots = slots
        self._callback_base = callback_base
        self.lease = timeout + LEASE_MARGIN
        """Seconds for which it claims callbacks."""
        self._batch = batch
        self._unproven_slots = unproven_slots or UnprovenSlots()
        self.on_slots_freed: Callable[[], object] = lambda: None
        """Called when slots that a claim lacked become free."""
        self.tests = ReceiverTestSender(broker, type_, sender, slots, callback_base)
        self._failures = FailureLog(type_)
        self._in_flight = InFlight(slots)
        self._unsettled: list[tuple[Delivery, Settlement]] = []
        self._settling: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no callback or test is in flight, and all outcomes are settled."""
        return not self._in_flight and self._settling is None and self.tests.is_idle

    async def run_once(self, before_claim: Callable[[], object] = lambda: None) -> float | None:
        """Claim every callback that is due, and begin to send it.

        Args:
            before_claim: Called before each claim, which finds all that fell due until then: so
                what woke this courier before needs no other claim.

        Returns:
            Seconds until the next callback falls due; None if none is scheduled.
        """
        while True:
            # 1. Wait for free slots, and take a batch of them at most.
            slots = self._take_unproven(await acquire_up_to(self._slots, self._batch))
            # 2. Claim that many callbacks, a share of them at most to unproven destinations.
            before_claim()
            claimed: Sequence[Delivery] = ()
            try:
                wait, claimed = await self._broker.claim(
                    self._type, slots.lease, slots.count, slots.unproven
                )
            finally:
                # 3. Send each in a task of its own.
                self.send(slots, claimed)
            # 4. Stop unless more are due now.
            if wait != 0.0:
                return wait

    async def take_free_slots(self, limit: int) -> FreeSlots:
        """Take slots that are free now for callbacks that somebody claims for this courier.

        The caller ends with `send`, whatever happens.

        Args:
            limit: How many to take at most; never more than a batch.
        """
        return self._take_unproven(await acquire_free(self._slots, min(limit, self._batch)))

    def _take_unproven(self, count: int) -> FreeSlots:
        """Return `count` slots, all taken, with how many of them unproven destinations may use."""
        return FreeSlots(self.lease, count, self._unproven_slots.take(_unproven_share(count)))

    def send(self, slots: FreeSlots, claimed: Sequence[Delivery]) -> None:
        """Begin to send what was claimed for these slots, and free those that were not needed."""
        for _ in range(slots.count - len(claimed)):
            self._slots.release()
        unproven_count = sum(delivery.unproven for delivery in claimed)
        self._unproven_slots.give_back(slots.unproven - unproven_count)
        # All unproven slots were used, and there were fewer than the claim's share.
        if unproven_count == slots.unproven < _unproven_share(slots.count):
            self._unproven_slots.notify_when_free(self.on_slots_freed)
        for delivery in claimed:
            self._start(delivery)

    def _start(self, delivery: Delivery) -> None:
        task = self._in_flight.begin(
            self._deliver(delivery), f"delivering a callback of type {self._type}"
        )
        task.add_done_callback(lambda _: self._unproven_slots.give_back(int(delivery.unproven)))

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            outcome = await self._send(delivery)
        except asyncio.CancelledError:
            self._settle_soon(delivery, Settlement("release"))
            raise
        job = delivery.job
        self._failures.note(job.destination, job.owner_id or "", outcome)
        _count_attempt(outcome)
        if logs_jobs():
            _log_attempt(delivery, outcome)
        self._settle_soon(delivery, settlement(job.attempts, outcome))

    async def _send(self, delivery: Delivery) -> Outcome:
        """Sign the callback's message and send it."""
        job, now = delivery.job, datetime.now(UTC)
        try:
            keys = parse_keys(self._broker.decrypt_keys(delivery.keys))
        except errors.SigningKeysEncrypted as error:  # another notifier may have the secret key
            self._failures.note_unsigned(error)
            await asyncio.sleep(UNSENT_SECONDS)
            return Outcome("unsent", "signing_keys_encrypted", 0)
        except errors.Invalid:  # written past the API; an operator may correct it within the offer
            return Outcome("retry", "invalid_signing_key", 0)
        try:
            url = absolute_url(job.callback, self._callback_base)
        except errors.Invalid as error:
            self._failures.note_no_base(error)
            return Outcome("fail", "invalid_callback", 0)
        body = message_body(job, now)
        headers = sign(message_id(job), int(now.timestamp()), body, keys)
        if job.correlation:
            headers |= job.correlation.headers()
        outcome = await self._sender.post(url, body, headers)
        if outcome.kind == "unsent":
            await asyncio.sleep(UNSENT_SECONDS)
        return outcome

    def _settle_soon(self, delivery: Delivery, decision: Settlement) -> None:
        self._unsettled.append((delivery, decision))
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle())

    async def _settle(self) -> None:
        """Settle in batches until nothing is left, including what is added meanwhile."""
        try:
            while self._unsettled:
                batch = self._unsettled[: self._batch]
                self._unsettled = self._unsettled[self._batch :]
                try:
                    settled = await self._broker.settle(self._type, batch)
                    for change in settled.changes:
                        self._failures.note_change(change)
                except errors.Unavailable:
                    pass  # their leases end, and they are sent again
                except Exception:
                    log.exception("settling callbacks of type %s failed", self._type)
        finally:
            self._settling = None

    async def drain(self, grace: float) -> None:
        """Let callbacks in flight finish for `grace` seconds, then hand the rest back.

        Another courier claims those at once.
        """
        await self.tests.stop()
        await self._in_flight.stop(grace)
        if self._settling:
            await self._settling


def _unproven_share(slots: int) -> int:
    """Return how many of a claim's slots unproven destinations may use at most."""
    return max(1, int(slots * UNPROVEN_SHARE_OF_CLAIM)) if slots else 0


@cache
def _counter(kind: Kind) -> Counter:
    """Return the counter of an outcome; to look it up by its label costs more than to count."""
    return CALLBACKS.labels(kind)


def _count_attempt(outcome: Outcome) -> None:
    _counter(outcome.kind).inc()
    if outcome.kind != "unsent":
        CALLBACK_SECONDS.observe(outcome.milliseconds / 1000)


def _log_attempt(delivery: Delivery, outcome: Outcome) -> None:
    job, correlation = delivery.job, delivery.job.correlation
    log_job(
        "job.callback",
        job.type,
        job.request_id,
        id=job.id,
        fence=job.fence,
        webhook_id=message_id(job),
        attempt=job.attempts,
        cause=outcome.cause,
        milliseconds=outcome.milliseconds,
        destination=job.destination,
        http_request_id=correlation and correlation.http_request_id,
        traceparent=correlation and correlation.traceparent,
    )
