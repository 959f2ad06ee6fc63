"""Tells before a job is moved whose start that changes, and by how much."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.turns import Turns
from rq_broker.admission.what_if import moved_lines
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job
from rq_broker.domain.names import request_id_in
from rq_broker.domain.planning import Proposal
from rq_broker.planner import ForecastChange, change_steps
from rq_broker.store.broker import Moved

PAUSE_SECONDS = 0.1
"""Pause after a preview of a type. A person who drags jobs does not notice it; a program that asks
in a loop leaves half of the time to other questions."""


@dataclass(frozen=True, slots=True)
class MovePreview:
    """What a move would do, and whose start that changes."""

    moved: Moved
    """What its dry run told."""
    changes: tuple[ForecastChange, ...]
    """Of the moved job, and of those between its two places; the largest change first."""

    @property
    def counts(self) -> Counter[str]:
        """How many of the jobs between start `later`, `sooner`, at the `same` time, or `unknown`.

        Of a long line a sample is simulated, so there these are estimates.
        """
        words, counts = {1: "later", -1: "sooner", 0: "same"}, Counter[str]()
        for change in self.changes[1:]:
            counts[words[change.direction] if change.is_known else "unknown"] += change.weight
        between = abs((self.moved.position or 0) - (self.moved.was or 0))
        if not counts:  # the sample of a long line shows none of them
            return Counter(unknown=between)
        shown = counts.total()
        return Counter({word: round(count * between / shown) for word, count in counts.items()})


class MovePreviews:
    """Simulates moves for one process. Somebody waits for each, so none is made to wait for the
    pause after a forecast of the type; each takes a bounded time instead."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._broker = snapshots.broker
        self._turns = Turns()

    async def preview(
        self, job: Job, proposal: Proposal, owners: Collection[str] | None, *, among_own: bool
    ) -> MovePreview:
        """Forecast what changes if a waiting job moves.

        `owners` and `among_own` are as of Broker.reorder. Raises what that raises, and NotWaiting.
        """
        # 1. Ask where it would go. A job that comes in from here on may make the move be refused.
        type_, (mode, value) = job.type, proposal.place
        moved = await self._broker.reorder(
            type_, job.request_id, mode, value, owners, among_own=among_own, dry_run=True
        )
        # 2. Read the line, and put the job there.
        (capacity, held), line, shape = await asyncio.gather(
            self._snapshots.read_capacity(type_),
            self._broker.line(type_),
            self._broker.shape(type_, job.shape),
        )
        if shape is None:
            raise errors.NotWaiting(f"{request_id_in(job.request_id)} left the queue meanwhile")
        before, after, stands = moved_lines(line, moved, job, shape)
        # 3. Simulate both lines.
        steps = change_steps(
            capacity,
            before,
            after,
            stands,
            (moved.position or 1) - 1,
            is_exchange=bool(moved.exchanges),
            demands=held.demands,
            clock=time.thread_time,
        )
        async with self._turns.of(type_) as turn:
            changes = await self._snapshots.planning.run(type_, steps, inline=False)
            turn.pause(PAUSE_SECONDS)
        return MovePreview(moved, changes)
