"""The steps of types in one process: which wake-ups make a step run again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from rq_broker.store.broker import Broker
from rq_broker.worker.steps import Steps
from rq_broker.worker.timers import Timers
from tests.making import TYPE


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
