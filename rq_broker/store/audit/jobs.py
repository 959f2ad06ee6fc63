"""Checks each job by the status set that lists it: its hash, its holds, and its index entries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rq_broker.domain.jobs import Shape, Status, expected_class
from rq_broker.domain.status_words import in_words
from rq_broker.domain.validation import LONGEST_SPAN
from rq_broker.store.audit.arrays import count_holder, note_arrays
from rq_broker.store.audit.deadlines import check_deadline
from rq_broker.store.audit.holds import check_holds
from rq_broker.store.audit.indexes import ALLOWED
from rq_broker.store.audit.queue_use import count_queue_use
from rq_broker.store.audit.servers import count_servers
from rq_broker.store.audit.walk import ListedJob, Walk, digest_or_none
from rq_broker.store.keys import digest, receiver, unfold

CALLBACK = ["callback", *(f"callback{piece}" for piece in range(2, 11))]
"""All fields that a folded callback may have, see keys.fold."""
CLASSES_BEFORE = (
    *(60, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 28800, 43200, 64800),
    *(86400, 172800, 604800, 2592000, 7776000, 31536000, LONGEST_SPAN),
)
"""The seconds to which versions until 3 of the contract rounded what a job says: it keeps them."""
PAGE = 32
"""Jobs read by one call. Redis serves nobody else for some 0.7 ms then. With more jobs, calls of
others wait longer; with fewer, an audit takes longer."""


async def check_jobs(walk: Walk, status: str, after: tuple[str, str] = ("", "")) -> None:
    """Check the jobs that a status set lists. A job in two status sets is a fault in one.

    Two calls are in flight: Redis reads the next page, and the index entries of this one, while the
    page before is checked.

    `after`: priority and member of the job behind which to begin.
    """
    reading = asyncio.create_task(walk.page(status, after, count=PAGE))
    looking_up: asyncio.Task[_Page] | None = None
    try:
        while True:
            read = await reading
            if read.count == PAGE:
                position = read.priority, read.after
                reading = asyncio.create_task(walk.page(status, position, count=PAGE))
            previous, looking_up = looking_up, asyncio.create_task(_look_up(walk, read))
            if previous:
                await _finish(walk, status, await previous)
            if read.count < PAGE:
                await _finish(walk, status, await looking_up)
                return
    finally:
        for task in filter(None, (reading, looking_up)):
            task.cancel()
        await asyncio.gather(*filter(None, (reading, looking_up)), return_exceptions=True)


async def _finish(walk: Walk, status: str, page: _Page) -> None:
    """Check a page and note that it is done: nothing of the next one is in the tally yet."""
    _check(walk, status, page)
    if page.read.count:
        await walk.progress(status, (page.read.priority, page.read.after))


@dataclass(frozen=True, slots=True)
class _Page:
    """What `audit_jobs` returned, and what the index of callbacks has for it."""

    read: Any
    callbacks: list[str]
    """The digests of the plain jobs' callbacks, then those of the others; '' if unreadable."""
    indexed: list[str]
    """The request_ids to which the index gives them."""


async def check_page(walk: Walk, status: str, read: Any) -> None:
    """Check the jobs of a page that `audit_jobs` returned."""
    _check(walk, status, await _look_up(walk, read))


async def check_rows(walk: Walk, status: str, page: Any) -> None:
    """Check a page of jobs of which all was read."""
    callbacks = _callbacks(page.jobs)
    _check_rows(walk, status, page, callbacks, await walk.indexed_jobs(callbacks))


async def _look_up(walk: Walk, read: Any) -> _Page:
    names = [member[17:] for member in read.plain]
    callbacks = [*map(digest_or_none, read.callbacks, names), *_callbacks(read.jobs)]
    return _Page(read, callbacks, await walk.indexed_jobs(callbacks))


def _callbacks(rows: Sequence[Any]) -> list[str]:
    return [digest_or_none(unfold(row.fields, "callback"), row.member[17:]) for row in rows]


def _check(walk: Walk, status: str, page: _Page) -> None:
    count = len(page.read.plain)
    _check_plain(walk, status, page.read, page.callbacks[:count], page.indexed[:count])
    _check_rows(walk, status, page.read, page.callbacks[count:], page.indexed[count:])


def _check_plain(
    walk: Walk, status: str, read: Any, callbacks: list[str], indexed: list[str]
) -> None:
    """Count the plain jobs of a page, and check what the script could not."""
    if not read.plain:
        return
    _count_plain(walk, status, read, callbacks)
    if indexed != [member[17:] for member in read.plain]:
        found = zip(read.plain, read.callbacks, indexed, strict=True)
        for member, callback, request_id in found:
            if callback:
                _check_callback(walk, member, request_id)
    for row in read.demands:
        try:
            faults = _demand_faults(status, row.demand, row.shape, row.expected or None)
        except ValueError as error:
            faults = (f"cannot be read: {error!r}",)
        for member in row.members:
            for text in faults:
                walk.fault(f"job {member}", text)


def _count_plain(walk: Walk, status: str, read: Any, callbacks: list[str]) -> None:
    """Add the plain jobs of a page to the tally, as `_count` and `_check_hash` add each other."""
    members, highest = walk.tally.members, walk.tally.highest
    highest["id"] = max(highest["id"], int(max(read.plain)[:16]))
    highest["fence"] = max(highest["fence"], int(read.fence))
    members.update([f"owner:{owner}" for owner in read.owners])
    for owner, size in zip(read.owners, read.bytes, strict=True):
        count_queue_use(walk, status, owner, size)
    if status == Status.QUEUED:
        for shape, count in read.shapes.items():
            members[f"shape:{shape}"] += int(count)
    for name, count in read.indexes.items():
        if status in ALLOWED[name]:
            members[name] += int(count)
    digests = zip(callbacks, read.callbacks, strict=True)
    members.update([f"callbacks:{digest[:2]}" for digest, callback in digests if callback])
    note_arrays(walk, read.plain)


def _check_rows(
    walk: Walk,
    status: str,
    page: Any,
    callbacks: Sequence[str],
    indexed: Sequence[str],
) -> None:
    for row, callback, request_id in zip(page.jobs, callbacks, indexed, strict=True):
        if not row.priority:  # the status does not list it
            continue
        job = ListedJob(status, row.member, float(row.priority), row.fields, row)
        if job.fields:
            _check_entries(walk, job, callback, request_id)
        try:
            _check_hash(walk, job)
            check_holds(walk, job)
            count_servers(walk, job)
            check_deadline(walk, job, page.rule)
            count_holder(walk, job)
            count_queue_use(walk, status, job.fields["owner"], job.fields.get("bytes", ""))
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
        for text in _demand_faults(status, demand, fields["shape"], fields.get("expected")):
            walk.fault(subject, text)
    if status == Status.GRANTED:
        complete = "fence" in fields and "hosts" in fields
        walk.check(complete, subject, "is granted but its hash lacks the fence or the hosts")


@lru_cache(maxsize=10_000)
def _demand_faults(
    status: str, demand: str | None, shape: str, said: str | None
) -> tuple[str, ...]:
    """List what is wrong with the demand of a job that does not wait; many jobs have the same.

    The demand expects what the job says it holds, rounded up. Raises ValueError if it cannot be
    read.
    """
    if demand is None:
        return (f"is {in_words(status)} but its hash has no demand",)
    faults = []
    if digest(demand) != shape:
        faults.append(f"is {in_words(status)} but its hash has another demand: {demand}")
    wanted = expected_class(None if said is None else int(said) / 1000)
    rounded = Shape.parse(demand).expected
    if rounded != wanted and not _was_class(said, rounded):
        faults.append(f"says it holds {said} ms but its demand expects {rounded} s")
    return tuple(faults)


def _was_class(said: str | None, rounded: int | None) -> bool:
    """Return whether a version before rounded what a job says so."""
    return said is not None and rounded == next(
        (bound for bound in CLASSES_BEFORE if bound >= int(said) / 1000), None
    )


def _check_entries(walk: Walk, job: ListedJob, callback: str, request_id: str) -> None:
    """Check the entries that a job has by owner, shape and callback, and its due delivery."""
    row = job.row
    _count(walk, job, callback)
    _check_priority(walk, job, "owner", row.by_owner, job.priority)
    expected = job.priority if job.status == Status.QUEUED else None
    _check_priority(walk, job, "shape", row.by_shape, expected)
    if _has_callback(job):
        _check_callback(walk, job.member, request_id)
    _check_delivery(walk, job, row.places)


def _check_callback(walk: Walk, member: str, request_id: str) -> None:
    """Check that the index gives the job's callback to the job."""
    other = f"job {request_id}" if request_id else "no job"
    text = f"has a callback that the index gives to {other}"
    walk.check(request_id == member[17:], f"job {member}", text)


def _has_callback(job: ListedJob) -> bool:
    """Return whether the job is to be called; one whose hash lacks the field was."""
    return job.fields.get("callback") != ""


def _count(walk: Walk, job: ListedJob, callback: str) -> None:
    """Count the job for each set that must have it, or has it, and none besides."""
    members = walk.tally.members
    members[f"owner:{job.fields.get('owner', '')}"] += 1
    if _has_callback(job):
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
        text = f"is {in_words(job.status)} but in the set of its {kind}"
    walk.fault(job.subject, text)


def _check_delivery(walk: Walk, job: ListedJob, places: list[str]) -> None:
    """Check that a granted job's callback, if any, is in one of three places, and no other is."""
    if "parked" in places:
        fields = job.fields
        name = receiver(fields.get("destination", ""), fields.get("owner", ""))
        walk.tally.parked_at.add(name)
    if len(places) != (job.status == Status.GRANTED and _has_callback(job)):
        where = " and ".join(places) or "none of deliveries, prompt and parked"
        status = in_words(job.status) if _has_callback(job) else "to be called by nobody"
        walk.fault(job.subject, f"is {status} but its callback is in {where}")
