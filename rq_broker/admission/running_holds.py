"""Knows the jobs of one type that hold capacity, for one process.

They are kept in memory, since thousands may run, and brought up to date by the type's stream of
events. All are read anew where the stream does not reach back to what was read last.
"""

from __future__ import annotations

import asyncio

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, ChangedHolds, RunningHold

_WHOLE_READS = 3
"""How often one `read` reads all holds, before it gives up: each time, more events than the stream
keeps (some 10,000) came while they were read, a fraction of a second."""


class RunningHolds:
    """The jobs of one type that hold capacity."""

    def __init__(self, broker: Broker, type_: str) -> None:
        self._broker = broker
        self._type = type_
        self._holds: dict[str, RunningHold] = {}
        """request_id → its hold, as of the event `_last`."""
        self._last: str | None = None
        self._rows: tuple[RunningHold, ...] = ()
        self._changed = set[str]()
        self._one_at_a_time = asyncio.Lock()

    async def read(self) -> tuple[RunningHold, ...]:
        """Return the holds of now; the same tuple as before if none changed.

        Raises:
            Unavailable: Redis does not answer, or changes faster than it can be read.
        """
        async with self._one_at_a_time:
            for _ in range(_WHOLE_READS):
                if await self._catch_up():
                    return self._rows
                await self._read_all()
                if self._last is None:  # a type without events has no hold that could change
                    return self._rows
            raise errors.Unavailable("the running jobs change faster than they can be read")

    def take_changes(self) -> dict[str, RunningHold | None]:
        """Return the jobs whose holds changed since the last call; None for one without a hold."""
        changed, self._changed = self._changed, set()
        return {request_id: self._holds.get(request_id) for request_id in changed}

    async def _catch_up(self) -> bool:
        """Apply the changes since the last event; returns whether they are all known."""
        while True:
            changes = await self._broker.changed_holds(self._type, self._last)
            if not changes.is_known:
                return False
            self._apply(changes)
            if not changes.has_more:
                return True

    def _apply(self, changes: ChangedHolds) -> None:
        was_held = [request_id for request_id in changes.ended if request_id in self._holds]
        for request_id in was_held:
            del self._holds[request_id]
        for hold in changes.holds:
            self._holds[hold.request_id] = hold
        self._changed.update(was_held, (hold.request_id for hold in changes.holds))
        if was_held or changes.holds:
            self._rows = tuple(self._holds.values())
        self._last = changes.last

    async def _read_all(self) -> None:
        """Read all holds in parts; what changes meanwhile is in the events since the first."""
        last = (await self._broker.changed_holds(self._type, None)).last
        holds: dict[str, RunningHold] = {}
        for status in (Status.GRANTED, Status.RUNNING):
            cursor, is_first = "0", True
            while is_first or cursor != "0":
                cursor, part = await self._broker.running_holds(self._type, status, cursor)
                holds.update((hold.request_id, hold) for hold in part)
                is_first = False
        self._changed.update(self._holds, holds)
        self._holds, self._last, self._rows = holds, last or None, tuple(holds.values())
