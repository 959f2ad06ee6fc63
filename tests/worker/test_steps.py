"""The steps of types in one process: which wake-ups make a step run again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from rq_broker.delivery.courier import Courier
from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.worker.steps import Steps
from rq_broker.worker.timers import Timers
from tests.couriers import OK, answering, make_courier
from tests.making import TYPE, publish, submit


@dataclass
class WokenCourier:
    """A courier that is woken while it runs, once: before or after its claim begins."""

    wake: Callable[[], object]
    is_woken_before_claim: bool
    runs: int = 0
    is_idle: bool = True

    async def run_once(self, before_claim: Callable[[], object]) -> None:
        self.runs += 1
        if self.runs == 1 and self.is_woken_before_claim:
            self.wake()
        before_claim()
        if self.runs == 1 and not self.is_woken_before_claim:
            self.wake()

    async def drain(self, grace: float) -> None:
        """Have nothing in flight."""


@pytest.mark.parametrize(("is_woken_before_claim", "runs"), [(True, 1), (False, 2)])
async def test_only_what_wakes_a_courier_after_its_claim_makes_it_claim_again(
    broker: Broker, is_woken_before_claim: bool, runs: int
) -> None:
    """What fell due before a claim is found by it; what falls due later, by another one."""
    courier = WokenCourier(lambda: steps.start(TYPE, "deliver"), is_woken_before_claim)
    steps = Steps(broker, lambda _: courier, Timers(), lambda *_: None)  # type: ignore[arg-type, return-value] # a stand-in
    steps.start(TYPE, "deliver")
    while steps.is_running(TYPE, "deliver"):
        await asyncio.sleep(0)
    await steps.stop(0.0)
    assert courier.runs == runs


async def test_what_a_lost_grant_claimed_is_looked_for_when_its_lease_ends(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis granted and claimed, and its reply is lost: nobody else would watch the lease."""
    grant_many, watched = broker.grant_many, list[tuple[object, ...]]()

    async def lost(*args: Any) -> None:
        await grant_many(*args)
        raise errors.Unavailable("the reply is lost")

    await publish(broker)
    await submit(broker)
    monkeypatch.setattr(broker, "grant_many", lost)
    courier = make_courier(broker, answering(OK), asyncio.Semaphore(1))
    steps = Steps(broker, lambda _: courier, Timers(), lambda *args: watched.append(args))
    steps.start(TYPE, "grant")
    while steps.is_running(TYPE, "grant"):
        await asyncio.sleep(0)
    await steps.stop(0.0)
    assert (TYPE, "deliver", courier.lease) in watched


async def test_couriers_that_only_send_what_is_granted_are_not_kept_for_ever(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of types that had a grant long ago no courier is kept, though none of them claimed."""
    monkeypatch.setattr("rq_broker.worker.steps.REMEMBERED", 1)
    made = list[str]()

    def make(type_: str) -> Courier:
        made.append(type_)
        return make_courier(broker, answering(OK), asyncio.Semaphore(1))

    steps = Steps(broker, make, Timers(), lambda *_: None)
    for type_ in ("a", "b", "a"):
        steps.start(type_, "grant")
        while steps.is_running(type_, "grant"):
            await asyncio.sleep(0)
    await steps.stop(0.0)
    assert made == ["a", "b", "a"]
