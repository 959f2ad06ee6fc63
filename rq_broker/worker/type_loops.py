"""The loops of one type in one process, and the wake-ups that Redis sends them.

Every change that makes work puts a marker into the type's `wake` set; one notifier takes it.
Markers are only hints: each loop also runs every second, so work whose marker was lost with a
process waits for a second at most.
"""

from __future__ import annotations

import asyncio

from rq_broker.admission.granter import Granter
from rq_broker.delivery.courier import Courier
from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.worker.janitor import Janitor
from rq_broker.worker.loop import SWEEP_SECONDS, Loop

BLOCK_SECONDS = 5.0
"""Seconds one blocking call to Redis waits for a marker. A longer one keeps a dead connection
unnoticed for longer; a shorter one costs calls for each idle type."""
BUSY_SECONDS = 0.002
"""Seconds for which a notifier takes no marker after a marker whose loop was already woken. Another
notifier takes it meanwhile, and shares the work; with more, a lone notifier loses throughput."""


class TypeLoops:
    """The granter, courier and janitor of one type."""

    def __init__(self, broker: Broker, type_: str, courier: Courier) -> None:
        self._broker = broker
        self._type = type_
        self._courier = courier
        self._granter = Granter(broker, type_)
        janitor = Janitor(broker, type_)
        self._loops_by_marker = {
            "grant": Loop(f"granter of {type_}", self._grant),
            "deliver": Loop(f"courier of {type_}", courier.run_once),
            "sweep": Loop(f"janitor of {type_}", janitor.run_once),
        }
        courier.on_slots_freed = self._loops_by_marker["deliver"].wake

    async def run(self, grace: float) -> None:
        """Run until cancelled, then let callbacks in flight finish for `grace` seconds."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._wait_for_markers())
                for loop in self._loops_by_marker.values():
                    group.create_task(loop.run())
        finally:
            await asyncio.shield(self._courier.drain(grace))

    async def _grant(self) -> None:
        await self._granter.run_once()

    async def _wait_for_markers(self) -> None:
        while True:
            try:
                marker = await self._broker.wait(self._type, BLOCK_SECONDS)
            except errors.BrokerError:
                await asyncio.sleep(SWEEP_SECONDS)
                continue
            if marker in self._loops_by_marker and not self._loops_by_marker[marker].wake():
                await asyncio.sleep(BUSY_SECONDS)
