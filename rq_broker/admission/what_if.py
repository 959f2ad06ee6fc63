"""Puts a proposed job at its place in a snapshot of the queue."""

from __future__ import annotations

import asyncio

from rq_broker.domain import errors
from rq_broker.domain.planning import Proposal, Snapshot
from rq_broker.planner import make_room, with_priority
from rq_broker.store.broker import Broker

MOVABLE_HEADS = 1000
"""Jobs of its own shape among which a what-if finds the job to move: bounds what is read for it."""

Place = tuple[int, int]
"""Priority and ID of a job: the queue is sorted by both."""


async def place_in_queue(
    broker: Broker, type_: str, proposal: Proposal, snapshot: Snapshot
) -> tuple[Snapshot, int]:
    """Make room where the proposed job is to stand.

    Returns: the snapshot with the jobs behind shifted, and the priority of the free place.
    """
    if proposal.priority is not None:
        return snapshot, proposal.priority
    before = await _job_before(broker, type_, proposal, snapshot)
    if before is not None:
        return await asyncio.to_thread(make_room, snapshot, before)
    first = await broker.place_at(type_, 1)
    return snapshot, first[0] - 1 if first else 0


async def _job_before(
    broker: Broker, type_: str, proposal: Proposal, snapshot: Snapshot
) -> Place | None:
    """Return the job behind which the proposed position is; None for the first position."""
    position = proposal.position
    if position in ("front", 1):
        return None
    jobs_ahead = int(position or 0) - 1 if position != "back" else 0
    before = await broker.place_at(type_, jobs_ahead) if jobs_ahead > 0 else None
    own_place = _place_of(snapshot, proposal.request_id)
    if before and own_place and own_place <= before:  # it leaves a place before
        before = await broker.place_at(type_, jobs_ahead + 1)
    return before or await broker.place_at(type_, 0)  # the last job


def _place_of(snapshot: Snapshot, request_id: str | None) -> Place | None:
    """Return where a job stands now, if the snapshot shows it."""
    heads = (head for waiting in snapshot.waiting for head in waiting.heads)
    return next(((head.priority, head.id) for head in heads if head.request_id == request_id), None)


def reordered(snapshot: Snapshot, request_id: str, priority: int) -> Snapshot:
    """Give a job of the snapshot another priority. Raises NotWaiting when it is not shown."""
    try:
        return with_priority(snapshot, request_id, priority)
    except KeyError:
        raise errors.NotWaiting(
            f"{request_id} does not wait, or more than {MOVABLE_HEADS} jobs of its shape go first"
        ) from None
