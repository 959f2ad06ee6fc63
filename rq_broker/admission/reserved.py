"""Says for which waiting jobs capacity is reserved: from when on, on which hosts, and how much.

The planner that makes the grants is asked. Those who ask about a type at the same time share a
plan, and the next one waits as long as that took, so that pages that poll cost little.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.turns import Turns
from rq_broker.domain.capacity import Amounts
from rq_broker.domain.devices import without_sums
from rq_broker.domain.errors import TooManyQuestions
from rq_broker.domain.planning import Snapshot
from rq_broker.planner import Plan, plan_steps

MOST_TYPES = 256
"""Types that wait for their reservations: bounds the memory of what waits."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """What is kept in time for one job."""

    request_id: str
    owner_id: str
    start: float
    """Seconds since 1970."""
    hosts: Mapping[str, Amounts]
    """Host → what is kept there."""


class ReservationReader:
    """Reads the reservations of any type for one process."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._turns = Turns()
        self._pending: dict[str, asyncio.Task[list[Reserved]]] = {}
        """Type → the plan that those who ask now share; its snapshot is not read yet."""

    async def read(self, type_: str) -> list[Reserved]:
        """List the reservations of a type, in the order of the line. Raises TooManyQuestions."""
        pending = self._pending.get(type_)
        if pending is None:
            if len(self._pending) >= MOST_TYPES:
                raise TooManyQuestions(f"{MOST_TYPES} types wait for their reservations already")
            pending = self._pending[type_] = asyncio.create_task(self._plan(type_))
        return await asyncio.shield(pending)

    async def _plan(self, type_: str) -> list[Reserved]:
        # 1. Wait until the pause after the type's last plan ends; meanwhile others join.
        async with self._turns.of(type_) as turn:
            del self._pending[type_]
            started = time.monotonic()
            # 2. Without a job passed for long enough there is nothing to plan for.
            window = await self._snapshots.read(type_, heads=1)
            if not window.snapshot.holds and not window.snapshot.promises:
                return []
            # 3. Plan as the next pass would.
            snapshot = window.snapshot
            steps = plan_steps(snapshot)
            plan = await self._snapshots.planning.run(type_, steps, inline=False)
            turn.pause(time.monotonic() - started)
        return _reserved(snapshot, plan)


def _reserved(snapshot: Snapshot, plan: Plan) -> list[Reserved]:
    owners = {
        head.request_id: waiting.shape.owner
        for waiting in snapshot.waiting
        for head in waiting.heads
    }
    return [
        Reserved(
            made.head.request_id,
            owners.get(made.head.request_id, ""),
            made.start,
            {host: without_sums(row) for host, row in sorted(made.amounts.items())},
        )
        for made in plan.reservations
    ]
