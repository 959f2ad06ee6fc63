"""Puts a proposed job at its place: in a snapshot of the queue, and in the line of a forecast."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from rq_broker.domain.jobs import Job, Shape
from rq_broker.domain.line import Line, WaitingJob
from rq_broker.domain.planning import Proposal, Snapshot
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.planner import IMAGINED, make_room
from rq_broker.store.broker import Broker, Moved
from rq_broker.store.keys import job_of, member


async def place_in_queue(
    broker: Broker, type_: str, proposal: Proposal, snapshot: Snapshot
) -> tuple[Snapshot, int]:
    """Make room where the proposed job is to stand.

    Returns: the snapshot with the jobs behind shifted, and the priority of the free place.
    """
    if proposal.priority is not None:
        return snapshot, proposal.priority
    position = proposal.position
    if position in ("front", 1):
        first = await broker.place_at(type_, 1)
        return snapshot, first[0] - 1 if first else 0
    before = None if position in ("back", None) else await broker.place_at(type_, int(position) - 1)
    before = before or await broker.place_at(type_, 0)  # the last job
    if before is None:
        return snapshot, 0
    return await asyncio.to_thread(make_room, snapshot, before)


def imagined_line(line: Line, proposal: Proposal, now: float) -> Line:
    """Return the line with the proposed job, its ID MAX_WHOLE; `now` in seconds since 1970."""
    shape = proposal.shape
    assert shape is not None
    rank, until = _rank(line, proposal, MAX_WHOLE), now + shape.demand.prefer_for / 1000
    job = WaitingJob(rank, MAX_WHOLE, IMAGINED, 0, IMAGINED, prefers_until=until)
    return line.with_job(job, shape)


def moved_lines(line: Line, moved: Moved, job: Job, shape: Shape) -> tuple[Line, Line, WaitingJob]:
    """Return the line before and after a move, and the job that moves as it stands before.

    Args:
        line: As it is.
        moved: What a dry run of the move told.
        job: The job that moves.
        shape: Its shape.
    """
    shown = next((known for known in line.jobs if known.id == job.id), None)
    stands = WaitingJob(
        (moved.was or 1) - 1,
        job.id,
        job.request_id,
        job.priority,
        job.shape,
        own_priority=shown is not None and shown.own_priority,
        prefers_until=shown.prefers_until if shown else 0.0,
    )
    rank = (moved.position or 1) - 1
    others = line.without(job.id, stands.rank)
    before = others.with_job(stands, shape)
    if moved.exchanges:
        return before, _exchanged(before, moved, replace(stands, rank=rank), shape), stands
    after = others.with_job(replace(stands, rank=rank, own_priority=True), shape)
    return before, after, stands


def _exchanged(line: Line, moved: Moved, goes: WaitingJob, shape: Shape) -> Line:
    """Return the line after jobs exchanged their places; one that is not shown is taken to be like
    the one whose place it gets."""
    by_member = dict(moved.exchanges)
    shown = {job.id: job for job in line.jobs}

    def follower(job: WaitingJob) -> WaitingJob:
        by = by_member.get(member(job.id, job.request_id))
        if by is None:
            return job
        id_, name = job_of(by)
        like = shown.get(id_, job)
        return replace(like, id=id_, request_id=name, rank=job.rank, weight=job.weight)

    after = replace(line, jobs=tuple(follower(job) for job in line.jobs))
    if any(job.id == goes.id for job in after.jobs):
        return after
    return after.without(0, goes.rank).with_job(goes, shape)


def _rank(line: Line, proposal: Proposal, job_id: int) -> int:
    """Return how many jobs of a line are to go before the proposed job."""
    if proposal.priority is not None:
        return line.rank_of(proposal.priority, job_id)
    if proposal.position in ("back", None):
        return line.total
    return 0 if proposal.position == "front" else min(int(proposal.position) - 1, line.total)
