"""Sends the receiver tests of one type: as callbacks go, but without a job, and each once.

Whatever they meet, no breaker and no job changes: they are asked for while a receiver is repaired.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from rq_broker.delivery.in_flight import CallbackSender, InFlight
from rq_broker.delivery.message import receiver_test_body, receiver_test_id
from rq_broker.delivery.outcome import Outcome
from rq_broker.delivery.signing import parse_keys, sign
from rq_broker.delivery.slots import acquire_up_to
from rq_broker.domain import errors
from rq_broker.domain.deliveries import ClaimedTest
from rq_broker.egress.callback import absolute_url
from rq_broker.store.broker import Broker

BATCH = 8
"""Tests taken by one call to Redis at most."""


class ReceiverTestSender:
    """Sends the receiver tests of one type in one process, in slots that callbacks use too."""

    def __init__(
        self,
        broker: Broker,
        type_: str,
        sender: CallbackSender,
        slots: asyncio.Semaphore,
        callback_base: str | None,
    ) -> None:
        self._broker = broker
        self._type = type_
        self._sender = sender
        self._slots = slots
        self._callback_base = callback_base
        self._in_flight = InFlight(slots)

    @property
    def is_idle(self) -> bool:
        """Whether none is under way."""
        return not self._in_flight

    async def run_once(self) -> None:
        """Take every test that waits, and begin to send it."""
        while True:
            slots = await acquire_up_to(self._slots, BATCH)
            tests: list[ClaimedTest] = []
            try:
                tests = await self._broker.claim_tests(self._type, slots)
            finally:
                for _ in range(slots - len(tests)):
                    self._slots.release()
            for test in tests:
                what = f"the test {test.test} of type {self._type}"
                self._in_flight.begin(self._deliver(test), what)
            if len(tests) < slots:
                return

    async def _deliver(self, test: ClaimedTest) -> None:
        try:
            outcome = await self._send(test)
        except Exception:  # without an outcome its caller would wait for one; the log has the error
            await self._broker.settle_test(self._type, test.test, "internal_error", 0)
            raise
        await self._broker.settle_test(self._type, test.test, outcome.cause, outcome.milliseconds)

    async def _send(self, test: ClaimedTest) -> Outcome:
        """Sign the message and send it, as Courier does with that of a job."""
        now = datetime.now(UTC)
        try:
            keys = parse_keys(self._broker.decrypt_keys(test.keys))
        except errors.SigningKeysEncrypted:
            return Outcome("unsent", "signing_keys_encrypted", 0)
        except errors.Invalid:  # written past the API
            return Outcome("fail", "invalid_signing_key", 0)
        try:
            url = absolute_url(test.callback, self._callback_base)
        except errors.CallbackForbidden:
            return Outcome("fail", "forbidden", 0)
        except errors.Invalid:  # relative, and this notifier has no base
            return Outcome("fail", "invalid_callback", 0)
        body = receiver_test_body(self._type, test, now)
        headers = sign(receiver_test_id(self._type, test), int(now.timestamp()), body, keys)
        return await self._sender.post(url, body, headers)

    async def stop(self) -> None:
        """Give up those under way: who asked sees no outcome, and asks again."""
        await self._in_flight.stop()
