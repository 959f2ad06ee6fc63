"""Checks each job by the status set that lists it: its hash, its holds, and its index entries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from rq_broker.domain.jobs import Shape, Status, expected_class
from rq_broker.store.audit.holds import check_holds
from rq_broker.store.audit.indexes import ALLOWED
from rq_broker.store.audit.walk import ListedJob, Walk
from rq_broker.store.keys import digest, receiver, unfold

CALLBACK = ["callback", *(f"callback{piece}" for piece in range(2, 11))]
"""All fields that a folded callback may have, see keys.fold."""
PAGE = 32
"""Jobs read by one call. Redis serves nobody else for some 0.3 ms then. With more jobs, calls of
others wait longer; with fewer, an audit takes longer."""


async def check_jobs(walk: Walk, status: Status, after: tuple[str, str] = ("", "")) -> None:
    """Check the jobs that a status set lists. A job in two status sets is a fault in one.

    `after`: priority and member of the job behind which to begin.
    """
    page = _read_page(walk, status, after)
    while True:
        rows = await page
        if len(rows) == PAGE:  # read the next page while this one is checked
            page = _read_page(walk, status, _position(rows))
        await check_page(walk, status, rows)
        if rows:
            await walk.progress(status, _position(rows))
        if len(rows) < PAGE:
            return


def _read_page(walk: Walk, status: Status, after: tuple[str, str]) -> asyncio.Task[list[Any]]:
    priority, member = after
    reading = walk.jobs(status, priority=priority, after=member, count=PAGE)
    return asyncio.create_task(reading)


def _position(rows: Sequence[Any]) -> tuple[str, str]:
    return rows[-1].priority, rows[-1].member


async def check_page(walk: Walk, status: Status, rows: Sequence[Any]) -> None:
    """Check jobs as `audit_jobs` returns them."""
    jobs = [ListedJob(status, row.member, float(row.priority), row.fields, row) for row in rows]
    callbacks = [digest(unfold(job.fields, "callback")) for job in jobs]
    indexed = await walk.indexed_jobs(callbacks)
    for job, callback, request_id in zip(jobs, callbacks, indexed, strict=True):
        if job.fields:
            _check_entries(walk, job, callback, request_id)
        try:
            _check_hash(walk, job)
            check_holds(walk, job, job.row.holds, job.row.seen)
        except (ValueError, KeyError) as error:
            walk.fault(job.subject, f"cannot be read: {error!r}")


def _check_hash(walk: Walk, job: ListedJob) -> None:
    """Check what the hash says by itself. Raises ValueError or KeyError if it cannot be read."""
    subject, status, fields = job.subject, job.status, job.fields
    if not fields:
        walk.fault(subject, f"is listed as {status} but has no hash")
        return
    says = fields["status"]
    walk.check(says == status, subject, f"is listed as {status} but its hash says {says}")
    walk.check(int(fields["id"]) == job.id, subject, f"has the id {fields['id']} in its hash")
    int(fields["created"])
    highest = walk.tally.highest
    highest["id"] = max(highest["id"], int(fields["id"]))
    highest["fence"] = max(highest["fence"], int(fields.get("fence", 0)))
    demand = fields.get("demand")
    if status == Status.QUEUED:
        walk.check(demand is None, subject, f"is queued but its hash has a demand: {demand}")
    else:
        is_its_demand = demand is not None and digest(demand) == fields["shape"]
        actual = "no demand" if demand is None else f"another demand: {demand}"
        walk.check(is_its_demand, subject, f"is {status} but its hash has {actual}")
        _check_expected(walk, job)
    if status == Status.GRANTED:
        complete = "fence" in fields and "hosts" in fields
        walk.check(complete, subject, "is granted but its hash lacks the fence or the hosts")


def _check_expected(walk: Walk, job: ListedJob) -> None:
    """Check that the demand of a job that does not wait expects what the job says, rounded up."""
    said, demand = job.fields.get("expected"), job.fields.get("demand")
    if demand is not None:
        wanted = expected_class(None if said is None else int(said) / 1000)
        rounded = Shape.parse(demand).expected
        text = f"says it holds {said} ms but its demand expects {rounded} s"
        walk.check(rounded == wanted, job.subject, text)


def _check_entries(walk: Walk, job: ListedJob, callback: str, request_id: str) -> None:
    """Check the entries that a job has by owner, shape and callback, and its due delivery."""
    row = job.row
    _count(walk, job, callback)
    _check_priority(walk, job, "owner", row.by_owner, job.priority)
    expected = job.priority if job.status == Status.QUEUED else None
    _check_priority(walk, job, "shape", row.by_shape, expected)
    is_indexed = request_id == job.request_id
    other = f"job {request_id}" if request_id else "no job"
    walk.check(is_indexed, job.subject, f"has a callback that the index gives to {other}")
    _check_delivery(walk, job, row.places)


def _count(walk: Walk, job: ListedJob, callback: str) -> None:
    """Count the job for each set that must have it, or has it, and none besides."""
    members = walk.tally.members
    members[f"owner:{job.fields.get('owner', '')}"] += 1
    members[f"callbacks:{callback[:2]}"] += 1
    if job.status == Status.QUEUED:
        members[f"shape:{job.fields.get('shape', '')}"] += 1
    for name in job.row.indexes:
        if job.status in ALLOWED[name]:
            members[name] += 1
    for name in job.row.places:
        if name != "parked" and job.status is Status.GRANTED:
            members[name] += 1


def _check_priority(
    walk: Walk, job: ListedJob, kind: str, score: str, expected: float | None
) -> None:
    actual = float(score) if score else None
    if actual == expected:
        return
    text = f"has the priority {actual} in the set of its {kind}, not {expected}"
    if actual is None:
        text = f"is not in the set of its {kind}"
    elif expected is None:
        text = f"is {job.status} but in the set of its {kind}"
    walk.fault(job.subject, text)


def _check_delivery(walk: Walk, job: ListedJob, places: list[str]) -> None:
    """Check that a granted job's callback is in one of three places, and no other job's is."""
    if "parked" in places:
        fields = job.fields
        name = receiver(fields.get("destination", ""), fields.get("owner", ""))
        walk.tally.parked_at.add(name)
    if len(places) != (job.status == Status.GRANTED):
        where = " and ".join(places) or "none of deliveries, prompt and parked"
        walk.fault(job.subject, f"is {job.status} but its callback is in {where}")
